"""How long something is waited for, and what wakes those who wait: what they wait for, the end of it, or nobody."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# What is being asked when the limit comes: its answer says more than that there was none.
LAST_ANSWER_S = 1.0


class CancelScope:
    """A limit that several threads share, and the way to end all their waiting at once."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._waiters: set[threading.Event] = set()
        self._is_ended = False

    @property
    def is_over(self) -> bool:
        """Whether the limit is reached, or nobody waits any more."""
        return self._is_ended or time.monotonic() >= self._deadline

    @property
    def last_moment(self) -> float:
        """When (of `time.monotonic`) nobody waits any longer for the answer to what was asked before the limit."""
        return self._deadline + LAST_ANSWER_S

    def end(self) -> None:
        """Have nobody wait any more."""
        self._is_ended = True
        for waiter in tuple(self._waiters):
            waiter.set()

    @contextmanager
    def waiter(self) -> Iterator[threading.Event]:
        """What one thread waits for in the block, for no longer than `doze` has it."""
        waiter = threading.Event()
        self._waiters.add(waiter)
        try:
            yield waiter
        finally:
            self._waiters.discard(waiter)

    def wait(self, waiter: threading.Event, longest_s: float) -> None:
        """Wait until the bell rings, or it is time to look."""
        if not self.is_over:
            waiter.wait(min(longest_s, max(0.0, self._deadline - time.monotonic())))
