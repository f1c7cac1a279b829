"""The terminal of the prompt: its modes, its unread input, and its loss."""

import contextlib
import os
import termios
from typing import TextIO

# Indices into the result of tcgetattr.
_LFLAG, _CC = 3, 6
_CHUNK = 4096


class PromptTerminal:
    """The terminal from which lines are read and to which output is written, with the modes from before mclu."""

    def __init__(self, stdin: TextIO, stdout: TextIO) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._modes = None
        # A closed terminal has no modes.
        with contextlib.suppress(termios.error):
            self._modes = termios.tcgetattr(stdin)

    def restore(self) -> None:
        """Restore the modes. A killed program leaves the modes that it has set."""
        if self._modes is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._stdin, termios.TCSANOW, self._modes)

    def read_typeahead(self) -> str:
        """Read the unread keys without blocking, including those of an incomplete line."""
        if self._modes is None:
            return ""
        keys = b""
        with contextlib.suppress(termios.error, OSError):
            modes = termios.tcgetattr(self._stdin)
            modes[_LFLAG] &= ~termios.ICANON
            # With both 0, read returns at once (termios(3)).
            modes[_CC][termios.VMIN] = modes[_CC][termios.VTIME] = 0
            termios.tcsetattr(self._stdin, termios.TCSANOW, modes)
            while data := os.read(self._stdin.fileno(), _CHUNK):
                keys += data
        self.restore()
        # The terminal translated the Enter key to newlines (ICRNL).
        return keys.decode(self._stdin.encoding, errors="surrogateescape").replace("\n", "\r")

    def detach_if_closed(self) -> bool:
        """Return whether the terminal is closed; if so, discard all later output, which prompt_toolkit cannot write."""
        is_closed = not self._stdin.isatty()
        if is_closed:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stdout.fileno())
        return is_closed
