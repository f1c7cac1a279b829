"""A command of the operator in a real terminal, whose settings are compared before and after it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pexpect

from tests.lab.support.echo_guest import PROMPT
from tests.lab.support.lab import RealLab, environment

# An emulated guest may answer late. Only a failure waits that long.
LIMIT_S = 60.0
_REPEAT_S = 5.0
ENTER, CTRL_C = "\r", "\x03"
# Ctrl-], which leaves a console.
LEAVE = "\x1d"
PLAIN = {"NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm"}
# Prints the terminal settings before and after a command, its pid and its exit status; then reads a line.
SCRIPT = """
# The keyboard's signals are for the command.
trap : INT
stty -g
sh -c 'echo pid=$$; exec "$@"' sh "$@"
status=$?
echo
echo "status=$status"
stty -g
read -r line
echo "read=$line"
"""


class TerminalCommand:
    """A command in a terminal whose settings are compared before and after it."""

    def __init__(self, lab: RealLab, *command: str) -> None:
        self.lab = lab
        words = lab.command("sh", "-c", SCRIPT, "sh", *command)
        self.program = pexpect.spawn(
            words[0],
            words[1:],
            env={**environment(), **PLAIN},
            encoding="utf-8",
            codec_errors="replace",
            timeout=LIMIT_S,
        )
        self.program.delaybeforesend = None
        self.output = ""
        self._settings, self.pid = self.expect_match(r"(\S+)\r\npid=(\d+)\r\n").groups()

    def expect(self, text: str, timeout: float = LIMIT_S) -> None:
        """Read until the command has written this text."""
        self.program.expect_exact(text, timeout=timeout)

    def expect_match(self, pattern: str) -> re.Match[str]:
        """Read until a regular expression matches, and return the match."""
        self.program.expect(pattern)
        assert isinstance(self.program.match, re.Match)
        return self.program.match

    def type(self, keys: str) -> None:
        """Type keys."""
        self.program.send(keys)

    def prompt(self) -> None:
        """Make the guest print its prompt, which it may have done before the console was opened.

        A guest on a busy machine may lose a key, so Enter is repeated.
        """
        for _ in range(round(LIMIT_S / _REPEAT_S)):
            self.type(ENTER)
            if self.program.expect_exact([PROMPT, pexpect.TIMEOUT], timeout=_REPEAT_S) == 0:
                return
        self.expect(PROMPT)

    def kill(self, signal: str) -> None:
        """Send a signal to the command."""
        self.lab.run("kill", f"-{signal}", self.pid)

    def end(self) -> int:
        """Read to the end of the command, assert that it restored the terminal, and return its exit status.

        `output` then is the text since the last match.
        """
        status, settings = self.expect_match(r"status=(\d+)\r\n(\S+)\r\n").groups()
        self.output = self.program.before or ""
        assert settings == self._settings
        return int(status)


@contextmanager
def terminal_command(lab: RealLab, *words: str) -> Iterator[TerminalCommand]:
    """Run a command in a terminal; it ends with the block."""
    command = TerminalCommand(lab, *words)
    try:
        yield command
    finally:
        command.program.close(force=True)
