"""Interrupts, and streams that cannot be written."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

_TIMEOUT_S = 10.0


def interrupt_when(condition: Callable[[], bool]) -> None:
    """Send SIGINT to this process as soon as a condition is met, or after a timeout."""

    def watch() -> None:
        deadline = time.monotonic() + _TIMEOUT_S
        while not condition() and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def unwritable(kind: str) -> Iterator[TextIO]:
    """Open a stream where writing fails: a disk that is `full`, or a `pipe` without a reader."""
    if kind == "full":
        descriptor = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, descriptor = os.pipe()
        os.close(reader)
    stream = os.fdopen(descriptor, "w")
    yield stream
    with contextlib.suppress(OSError):
        stream.close()
