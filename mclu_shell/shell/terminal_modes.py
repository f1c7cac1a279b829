"""The terminal that the prompt is in: kept as it was found, and let go of when it is lost."""

import contextlib
import os
import termios
from typing import TextIO

# Of what tcgetattr returns.
_LOCAL, _CHARACTERS = 3, 6
_CHUNK = 4096


class PromptTerminal:
    """Where lines are typed, and where answers go."""

    def __init__(self, given: TextIO, out: TextIO) -> None:
        self._given, self._out = given, out
        self._found = None
        # A terminal that has gone has no settings.
        with contextlib.suppress(termios.error):
            self._found = termios.tcgetattr(given)

    def settle(self) -> None:
        """Set it as it was found: a program that is killed leaves it as it has made it."""
        if self._found is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._given, termios.TCSANOW, self._found)

    def take_typed(self) -> str:
        """What has been typed and nobody has read yet, as the keys were: also a line that is not finished."""
        if self._found is None:
            return ""
        typed = b""
        with contextlib.suppress(termios.error, OSError):
            mode = termios.tcgetattr(self._given)
            mode[_LOCAL] &= ~termios.ICANON
            # Reading then waits for nothing.
            mode[_CHARACTERS][termios.VMIN] = mode[_CHARACTERS][termios.VTIME] = 0
            termios.tcsetattr(self._given, termios.TCSANOW, mode)
            while data := os.read(self._given.fileno(), _CHUNK):
                typed += data
        self.settle()
        # Meanwhile, the terminal made newlines of the Enter key.
        return typed.decode(self._given.encoding, errors="surrogateescape").replace("\n", "\r")

    def let_go_if_lost(self) -> bool:
        """Whether it has gone; then nothing more is said to it: what prompt_toolkit has left to write would fail."""
        is_lost = not self._given.isatty()
        if is_lost:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
        return is_lost
