"""The prompt: cmd2 reads the lines, the session runs them."""

from typing import Any

import cmd2
from prompt_toolkit.input.typeahead import get_typeahead
from prompt_toolkit.shortcuts import CompleteStyle

from mclu_shell import __version__
from mclu_shell.session import INTERRUPTED, Session
from mclu_shell.shell.completer import SnapshotCompleter

# What cmd2 hands over when the user ends the input (Ctrl-D).
_EOF = "_eof"


def run_shell(session: Session, count: int) -> int:
    """Read and run lines until the user leaves; the status of the last of them. `count` is that of the nodes."""
    # The cloud is not opened before something needs it: the prompt comes first.
    shell = Shell(session, SnapshotCompleter(lambda: session.open_cloud().snapshot))
    shell.poutput(
        f"mclu {__version__}, {count} {'node' if count == 1 else 'nodes'}; 'help' lists the commands, Ctrl-D leaves."
    )
    return shell.cmdloop()


class Shell(cmd2.Cmd):
    """cmd2's prompt in front of the session; none of cmd2's own commands is reached."""

    def __init__(self, session: Session, completer: SnapshotCompleter) -> None:
        super().__init__(allow_cli_args=False, allow_clipboard=False, auto_suggest=True)
        self.prompt = "mclu> "
        self._mclu = session
        session.confirm = self._confirm
        session.typed_ahead = self._take_typed_ahead
        self.main_session.completer = completer
        # cmd2's highlighting knows cmd2's commands only.
        self.main_session.lexer = None
        # One name a line, with what is known of it beside it.
        self.main_session.complete_style = CompleteStyle.COLUMN

    def onecmd_plus_hooks(self, line: str, **_options: Any) -> bool:
        """Run a line as every other door does; True when the user wants to leave."""
        if line == _EOF:
            self.poutput("")
            return True
        status = self._mclu.run_text(line)
        # As from any shell, one leaves with the status of the line before.
        self.exit_code = status or (self.exit_code if self._mclu.has_quit else status)
        if status == INTERRUPTED:
            # The terminal has shown ^C, and the prompt would stand behind it.
            self.poutput("")
        return self._mclu.has_quit

    def _confirm(self, question: str) -> bool:
        """Ask at the terminal; whatever does not begin with y, also the end of the input, means no."""
        self.poutput(question + " [y/N] ", end="")
        self.stdout.flush()
        return self.stdin.readline().strip().lower().startswith("y")

    def _take_typed_ahead(self) -> bytes:
        """What the prompt has read behind the line that runs: it is for what has the terminal now."""
        return "".join(key.data for key in get_typeahead(self.main_session.input)).encode()

    def sigint_handler(self, signum: int, frame: Any) -> None:  # noqa: ARG002
        """Ctrl-C: what runs is interrupted, and nothing else."""
        raise KeyboardInterrupt
