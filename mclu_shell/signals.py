"""Signals: handled otherwise for a while, or put off while they would do harm."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

# What ends a program: Ctrl-C, kill, a closed terminal.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_IMPORTING = "<frozen importlib._bootstrap>"
_SOON_S = 0.01


@contextmanager
def handled(numbers: Iterable[signal.Signals], handler: Callable[..., object] | signal.Handlers) -> Iterator[None]:
    """Handle signals like this within the block, and then as before; only the main thread is given any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def is_put_off(number: int, frame: FrameType | None) -> bool:
    """Whether a signal has come while something was being imported; it then comes once more in a moment.

    What a handler raises within `importlib` can leave the lock locked that all imports share, and every thread that
    imports anything from then on would wait for ever.
    """
    while frame is not None and frame.f_code.co_filename != _IMPORTING:
        frame = frame.f_back
    if frame is None:
        return False
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
    signal.setitimer(signal.ITIMER_REAL, _SOON_S)
    return True
