"""Answers that follow changes: redrawn in place on a terminal, and repeated in a pipe."""

import contextlib
import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TextIO

from mclu_shell.output.live_screen import LiveScreen
from mclu_shell.output.results import Result, Watch
from mclu_shell.output.text_renderer import Renderer
from mclu_shell.session.exit_status import writing
from mclu_shell.signals import breakable_write, handled

_QUIT_KEYS = (b"q", b"Q")
# Python checks for signals before a wait begins. One that arrives in between is handled after this time.
_SIGNAL_CHECK_S = 0.5
# The least time between two drawings: several nodes answer at the same time.
_SETTLE_S = 0.02


def show_watch(watch: Watch[object], renderer: Renderer, show: Callable[[Result], object]) -> None:
    """Show the answers of a watch until `q` or an interrupt; in a pipe until an interrupt, with `show`."""
    if renderer.can_redraw:
        _Redrawn(watch, renderer, sys.stdin).run()
    else:
        _repeat(watch, renderer, show)


def _repeat(watch: Watch[object], renderer: Renderer, show: Callable[[Result], object]) -> None:
    """Show an answer when all nodes have answered, and then at each interval."""
    changed = threading.Event()
    with watch.polls.running(changed.set):
        while not watch.polls.is_complete:
            changed.wait(_SIGNAL_CHECK_S)
            changed.clear()
        while True:
            next_at = time.monotonic() + watch.polls.interval_s
            for result in watch.answer(watch.polls.latest):
                show(result)
            with writing(), breakable_write():
                renderer.end_answer()
            while (left := next_at - time.monotonic()) > 0:
                time.sleep(min(left, _SIGNAL_CHECK_S))


class _Redrawn:
    """A watch on a terminal; keys are read without Enter if the input is a terminal, too."""

    def __init__(self, watch: Watch[object], renderer: Renderer, stdin: TextIO) -> None:
        self._watch = watch
        self._renderer = renderer
        self._stdin = stdin
        self._screen = LiveScreen(renderer.out)
        self._modes = termios.tcgetattr(stdin) if stdin.isatty() else None
        self._is_drawing = False
        self._is_stop_delayed = False

    def run(self) -> None:
        """Redraw after each outcome until `q`, an interrupt, or the end of the input."""
        waker = _Waker()
        try:
            with self._keys(), self._on_signals(waker.wake), self._watch.polls.running(waker.wake):
                self._loop(waker)
        finally:
            waker.close()
            with contextlib.suppress(OSError):
                self._screen.close()

    def _loop(self, waker: "_Waker") -> None:
        while True:
            self._draw()
            if self._wait(waker.descriptor):
                return
            time.sleep(_SETTLE_S)
            waker.reset()

    def _draw(self) -> None:
        lines = self._renderer.lines(self._watch.answer(self._watch.polls.latest))
        waiting = [node.name for node, outcome in self._watch.polls.latest if outcome is None]
        hint = f"waiting for {', '.join(waiting)}; q quits" if waiting else "q quits"
        self._is_drawing = True
        with writing(), breakable_write():
            self._screen.draw(lines, self._renderer.hint(hint))
        self._is_drawing = False
        if self._is_stop_delayed:
            self._is_stop_delayed = False
            signal.raise_signal(signal.SIGTSTP)

    def _wait(self, changed: int) -> bool:
        """Wait for an outcome or a changed terminal; return True to end."""
        poll = select.poll()
        poll.register(changed, select.POLLIN)
        if self._modes is not None:
            poll.register(self._stdin.fileno(), select.POLLIN)
        while True:
            ready = dict(poll.poll(_SIGNAL_CHECK_S * 1000))
            if self._modes is not None and self._stdin.fileno() in ready and self._is_quit_key():
                return True
            if changed in ready:
                return False

    def _is_quit_key(self) -> bool:
        try:
            # Input after the key belongs to the next reader.
            key = os.read(self._stdin.fileno(), 1)
        except OSError:
            # The terminal was closed.
            return True
        return key in (b"", *_QUIT_KEYS)

    @contextlib.contextmanager
    def _keys(self) -> Iterator[None]:
        """Read keys without Enter and without echo; Ctrl-C and Ctrl-Z remain signals."""
        try:
            self._enter_modes()
            yield
        finally:
            self._leave_modes()

    def _enter_modes(self) -> None:
        if self._modes is not None:
            tty.setcbreak(self._stdin, termios.TCSANOW)

    def _leave_modes(self) -> None:
        # A closed terminal has no modes.
        with contextlib.suppress(termios.error):
            if self._modes is not None:
                termios.tcsetattr(self._stdin, termios.TCSANOW, self._modes)

    @contextlib.contextmanager
    def _on_signals(self, wake: Callable[[], None]) -> Iterator[None]:
        """Redraw after a change of the size, and after Ctrl-Z and `fg`."""

        def stop(number: int, _frame: FrameType | None) -> None:
            if self._is_drawing:
                # The screen must know where its lines are.
                self._is_stop_delayed = True
                return
            self._screen.close()
            self._leave_modes()
            with handled([signal.SIGTSTP], signal.SIG_DFL):
                # The process stops here until it is continued.
                signal.raise_signal(number)
            self._enter_modes()
            wake()

        with handled([signal.SIGWINCH], lambda *_: wake()), handled([signal.SIGTSTP], stop):
            yield


class _Waker:
    """A pipe by which threads and signal handlers end a poll(2) of its `descriptor`."""

    def __init__(self) -> None:
        self.descriptor, self._writer = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._writer, False)
        # A thread may outlive the pipe, whose number another file may have by then.
        self._lock = threading.RLock()
        self._is_closed = False

    def wake(self) -> None:
        """End the poll; a full pipe does so already."""
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._is_closed:
                os.write(self._writer, b"\0")

    def reset(self) -> None:
        """Let the next poll wait again."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.descriptor, 4096):
                pass

    def close(self) -> None:
        """Close the pipe; `wake` does nothing from now on."""
        with self._lock:
            self._is_closed = True
            os.close(self.descriptor)
            os.close(self._writer)
