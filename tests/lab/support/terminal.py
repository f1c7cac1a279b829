"""A command of the operator's in a real terminal, whose settings are looked at before and after it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pexpect

from tests.lab.support.cli import LIMIT_S
from tests.lab.support.echo_guest import PROMPT
from tests.lab.support.lab import RealLab, environment

ENTER, CTRL_C = "\r", "\x03"
PLAIN = {"NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm"}
# Says how the terminal is set before and after a command, the command's pid and its status; then reads a line.
SCRIPT = """
# The keyboard's signals are the command's.
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


class Typed:
    """A command in a terminal whose settings are looked at before and after it."""

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
        self.program.expect(r"(\S+)\r\npid=(\d+)\r\n")
        self.before, self.pid = self.program.match[1], self.program.match[2]

    def expect(self, text: str) -> None:
        """Read until this has been written."""
        self.program.expect_exact(text)

    def type(self, keys: str) -> None:
        self.program.send(keys)

    def prompt(self) -> None:
        """Have the guest show its prompt: it may have done so before the console was opened."""
        self.type(ENTER)
        self.expect(PROMPT)

    def kill(self, signal: str) -> None:
        """Send mclu a signal."""
        self.lab.run("kill", f"-{signal}", self.pid)

    def end(self) -> int:
        """Read to the end of mclu, assert that the terminal is as it was, and return the status and what it wrote."""
        self.program.expect(r"status=(\d+)\r\n(\S+)\r\n")
        self.said = self.program.before
        status, after = int(self.program.match[1]), self.program.match[2]
        assert after == self.before
        return status


@contextmanager
def typed(lab: RealLab, *words: str) -> Iterator[Typed]:
    """A command in a terminal, which ends with the block."""
    made = Typed(lab, *words)
    try:
        yield made
    finally:
        made.program.close(force=True)
