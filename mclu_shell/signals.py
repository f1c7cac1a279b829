"""Signals that end mclu: as exceptions, delayed during imports, and deferred while changes are made."""

import errno
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import NoReturn

# The signals that end a program: Ctrl-C, kill, a closed terminal.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_IMPORTING = "<frozen importlib._bootstrap>"
_RETRY_S = 0.01
_BLOCKED_S = 1.0


class Ended(KeyboardInterrupt):
    """Raised for a signal that ends mclu and is not Ctrl-C. It is handled like Ctrl-C, with its own exit status."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def interrupt_status(interrupt: KeyboardInterrupt) -> int:
    """Return the exit status after an interrupt, as shells report it for the signal."""
    return interrupt.status if isinstance(interrupt, Ended) else 128 + signal.SIGINT


class _Received:
    """The ending signal that takes, or took, effect last; Ctrl-C before any."""

    number: int = signal.SIGINT


def received_status() -> int:
    """Return the exit status after the ending signal that was received, for errors of its effects."""
    return 128 + _Received.number


def raise_for(number: int) -> NoReturn:
    """Raise the exception for an ending signal."""
    _Received.number = number
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Ended(number)


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


class _Write:
    """The write to an output that is in progress, if any."""

    # The time (of `time.monotonic`) at which it began; inf if there is none.
    began_at = math.inf
    was_broken = False

    @classmethod
    def is_blocked(cls) -> bool:
        """Return whether it takes so long that its reader does not seem to read."""
        return time.monotonic() - cls.began_at > _BLOCKED_S


@contextmanager
def breakable_write() -> Iterator[None]:
    """Let a repeated signal end a write that blocks, although signals are deferred; it fails with ECANCELED."""
    _Write.began_at = time.monotonic()
    try:
        yield
    except KeyboardInterrupt:
        _Write.was_broken = True
        raise
    finally:
        _Write.began_at = math.inf


def is_output_broken() -> bool:
    """Return whether a signal has ended a write. The rest of the output would block again."""
    return _Write.was_broken


@contextmanager
def deferred(on_signal: Callable[[], object]) -> Iterator[None]:
    """Call `on_signal` for ending signals within the block; the first one takes effect after the block."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        # The first one takes effect. The block may create errors about it at once.
        _Received.number = received[0]
        on_signal()
        if len(received) > 1 and _Write.is_blocked():
            # Otherwise the write is continued (PEP 475), and a reader that does not read would block mclu forever.
            _Write.was_broken = True
            # Python repeats a write that fails with EINTR.
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))

    # nohup ignores SIGHUP, for example.
    numbers = [number for number in ENDING if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    try:
        with handled(numbers, note):
            yield
    finally:
        if received:
            signal.raise_signal(received[0])


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
