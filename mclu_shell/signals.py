"""Signal handlers for a block of code, and signals delayed during imports."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType

# The signals that end a program: Ctrl-C, kill, a closed terminal.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_IMPORTING = "<frozen importlib._bootstrap>"
_RETRY_S = 0.01


@contextmanager
def handled(numbers: Iterable[signal.Signals], handler: Callable[..., object] | signal.Handlers) -> Iterator[None]:
    """Handle signals with `handler` within the block. No effect outside the main thread, which receives all signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def is_within(frame: FrameType | None, code: CodeType) -> bool:
    """Return whether a signal has interrupted a function of this code, or a function that it called."""
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


def is_put_off(number: int, frame: FrameType | None) -> bool:
    """Return True if a signal interrupts an import; raise the signal again after 10 ms.

    An exception from a handler within `importlib` can leave its global lock locked, so that every later import in any
    thread would block forever.
    """
    while frame is not None and frame.f_code.co_filename != _IMPORTING:
        frame = frame.f_back
    if frame is None:
        return False
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
    signal.setitimer(signal.ITIMER_REAL, _RETRY_S)
    return True
