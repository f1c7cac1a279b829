"""The commands run at this prompt, for `history --script`."""

import contextlib

from mclu_shell import command_loader
from mclu_shell.command import Group, LoggedCommand
from mclu_shell.errors import UsageError
from mclu_shell.language.line import Line
from mclu_shell.session.exit_status import DONE, INTERRUPTED


class SessionLog:
    """The commands of the entered lines as they ran, without aliases."""

    def __init__(self) -> None:
        self.commands: list[LoggedCommand] = []
        self._is_recording = True
        self._is_declined = False

    def start_line(self, text: str) -> None:
        """Prepare for an entered line; ignore its commands if it begins with a blank, as the history does."""
        self._is_recording = not text[:1].isspace()
        self._is_declined = False

    def record_reply(self, *, is_confirmed: bool) -> None:
        """Record the user's reply to the confirmation of the running command."""
        self._is_declined = not is_confirmed

    def record_command(self, line: Line, status: int) -> None:
        """Record a command after it has run."""
        if self._is_recording and not _is_shell_command(line):
            self.commands.append(LoggedCommand(line, self._why_not(line, status)))
        self._is_declined = False

    def _why_not(self, line: Line, status: int) -> str:
        if status == INTERRUPTED:
            return "interrupted"
        if self._is_declined:
            return "declined"
        return "" if status == DONE or line.may_fail else "failed"


def _is_shell_command(line: Line) -> bool:
    """Return True for a command without effect in a script: `history`, `alias`, `help`, but not `run`."""
    if line.words:
        with contextlib.suppress(UsageError):
            command = command_loader.load_command(line.words[0])
            return command.group is Group.SHELL and command.script is None
    return False
