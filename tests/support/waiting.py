"""Waiting for the effects of other threads and processes."""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], timeout_s: float = 5.0) -> bool:
    """Wait until a condition is met, and return whether it was in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
