"""What was run at this prompt, for `history --script`."""

import contextlib

from mclu_shell import command_loader
from mclu_shell.command import Group, Ran
from mclu_shell.errors import UsageError
from mclu_shell.language.line import Line
from mclu_shell.session.exit_status import DONE, INTERRUPTED


class SessionLog:
    """The commands of the lines that were entered, as they were run: without aliases."""

    def __init__(self) -> None:
        self.ran: list[Ran] = []
        self._is_kept = True
        self._is_declined = False

    def begin(self, text: str) -> None:
        """A line that was entered is about to run; as in the history, one that begins with a blank is not kept."""
        self._is_kept = not text[:1].isspace()
        self._is_declined = False

    def answered(self, *, is_wanted: bool) -> None:
        """The command that runs has asked whether it should, and was told."""
        self._is_declined = not is_wanted

    def note(self, line: Line, status: int) -> None:
        """A command has run."""
        if self._is_kept and not _is_about_the_shell(line):
            self.ran.append(Ran(line, self._why_not(line, status)))
        self._is_declined = False

    def _why_not(self, line: Line, status: int) -> str:
        if status == INTERRUPTED:
            return "interrupted"
        if self._is_declined:
            return "declined"
        return "" if status == DONE or line.may_fail else "failed"


def _is_about_the_shell(line: Line) -> bool:
    """Whether it would mean nothing in a script: `history`, `alias`, `help`, but not `run`."""
    if line.words:
        with contextlib.suppress(UsageError):
            command = command_loader.load_command(line.words[0])
            return command.group is Group.SHELL and command.script is None
    return False
