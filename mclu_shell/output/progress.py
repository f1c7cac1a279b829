"""The progress line of a terminal: what is done, for how long, and how to cancel it."""

import contextlib
import threading
import time
from typing import TextIO

from mclu_shell.output import style
from mclu_shell.output.text_width import truncated, width
from mclu_shell.units import format_age

_INTERVAL_S = 0.2
_HINT = "Ctrl-C cancels"
# CR, and the erasure of the line (ECMA-48 EL). The cursor stays visible: a program that is killed could not show it.
_ERASE = "\r\x1b[K"


class ProgressLine:
    """A line that a thread redraws until it is closed. The elapsed time counts from `began_at` (time.monotonic)."""

    def __init__(self, stream: TextIO, began_at: float) -> None:
        self._stream = stream
        self._began_at = began_at
        self._message = ""
        self._step = 0
        # Held during each write, so that nothing is drawn after the line is erased.
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._animate, name="progress", daemon=True)

    def show(self, message: str) -> None:
        """Show a printable message, if the work takes longer than an interval."""
        self._message = message
        if not self._thread.ident:
            self._thread.start()

    def close(self) -> None:
        """Erase the line; it cannot be shown again."""
        # Before the lock: an interrupt while waiting for it must not leave the thread running.
        self._closing.set()
        with self._lock, contextlib.suppress(OSError):
            self._stream.write(_ERASE if self._step else "")
            self._stream.flush()

    def _animate(self) -> None:
        while not self._closing.wait(_INTERVAL_S):
            self._draw()

    def _draw(self) -> None:
        # A closed terminal ends no command.
        with self._lock, contextlib.suppress(OSError):
            if not self._closing.is_set():
                self._stream.write(_ERASE + self._line())
                self._stream.flush()

    def _line(self) -> str:
        """Return the line, cut so that the hint stays visible."""
        glyphs = style.glyphs(self._stream)
        self._step += 1
        spinner = glyphs.spinner[self._step % len(glyphs.spinner)]
        end = f"  {format_age(time.monotonic() - self._began_at)}  ({_HINT})"
        # A character in the last column would leave the cursor in an undefined place.
        columns = style.terminal_size(self._stream).columns - 1
        message = truncated(self._message, columns - width(f"{spinner} {end}"), glyphs.ellipsis)
        return truncated(f"{spinner} {message}{end}", columns, glyphs.ellipsis)
