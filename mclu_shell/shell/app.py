"""The interactive shell: cmd2 reads lines, the session runs them."""

import contextlib
import signal
from collections.abc import Iterator
from getpass import getpass
from typing import Any

import cmd2
from prompt_toolkit.filters import is_searching
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyBindings, KeyPress
from prompt_toolkit.key_binding.bindings.search import accept_search_and_accept_input
from prompt_toolkit.keys import Keys
from prompt_toolkit.shortcuts import CompleteStyle

from mclu_shell import __version__
from mclu_shell.command import Prompt
from mclu_shell.errors import Question
from mclu_shell.language.aliases import expand
from mclu_shell.output.text_renderer import printable
from mclu_shell.session.exit_status import INTERRUPTED
from mclu_shell.session.interaction import Interaction
from mclu_shell.session.session import Session
from mclu_shell.shell.background import DEFAULT_SETTINGS, NodeMonitor, redraw
from mclu_shell.shell.completer import CommandCompleter
from mclu_shell.shell.history import ShellHistory, history_path
from mclu_shell.shell.session_log import SessionLog
from mclu_shell.shell.startup import run_startup
from mclu_shell.shell.terminal_modes import PromptTerminal
from mclu_shell.signals import handled, is_put_off, raise_for

# The exit status of a program that SIGHUP has ended, as shells report it.
_HUNG_UP = 128 + signal.SIGHUP


def run_shell(session: Session, count: int) -> int:
    """Read and run lines until the user leaves; return the status of the last line. `count` is the number of nodes."""
    # The first command or NodeMonitor opens the cloud, so that the prompt appears at once.
    shell = Shell(session)
    nodes = f"{count} {'node' if count == 1 else 'nodes'}"
    shell.poutput(f"mclu {__version__}, {nodes}; 'help' lists the commands, Ctrl-D leaves.")
    if session.is_dry:
        shell.poutput(
            "A dry run: each line shows what it would do, taking earlier lines into account, and changes nothing."
        )
    try:
        # Ctrl-\ is for a program that a command runs. The program would inherit an ignored signal, but not a handler.
        with handled([signal.SIGQUIT], lambda *_: None):
            return shell.cmdloop()
    except OSError:
        # Writing to a closed terminal fails, sometimes before SIGHUP arrives.
        if not shell.has_hung_up():
            raise
        return _HUNG_UP


class Shell(cmd2.Cmd):
    """cmd2's prompt for a session. cmd2's own commands cannot be run."""

    def __init__(self, session: Session) -> None:
        super().__init__(allow_cli_args=False, allow_clipboard=False, auto_suggest=True, enable_bottom_toolbar=True)
        self.prompt = "mclu (dry run)> " if session.is_dry else "mclu> "
        self._session = session
        self._is_running = False
        self._is_reading = False
        self._is_at_end = False
        self._terminal = PromptTerminal(self.stdin, self.stdout)
        self._history = ShellHistory(history_path())
        self._log = SessionLog()
        self._settings = dict(DEFAULT_SETTINGS)
        self._aliases: dict[str, str] = {}
        session.interaction = self._interaction()
        self._monitor = NodeMonitor(
            session,
            lambda: redraw(self.main_session.app),
            self._settings,
            lambda alert: self.add_alert(msg=printable(alert)),
        )
        # Connecting starts after the first prompt, which would otherwise wait for the interpreter lock.
        self.main_session.app.after_render += lambda _app: self._on_rendered()
        self.main_session.completer = CommandCompleter(lambda: session.open_cloud().snapshot, self._aliases)
        self.main_session.history = self.main_session.default_buffer.history = self._history
        # cmd2's highlighting and its detection of incomplete lines only know cmd2's commands.
        self.main_session.lexer = None
        self.main_session.multiline = False
        self._bind_keys()
        # One candidate per line, with its description.
        self.main_session.complete_style = CompleteStyle.COLUMN

    def _bind_keys(self) -> None:
        keys = self.main_session.key_bindings
        assert isinstance(keys, KeyBindings)
        # Enter runs the match of Ctrl-R, as in readline.
        keys.add("enter", filter=is_searching)(accept_search_and_accept_input)
        # Pasted text is one text until Enter runs it, as a quotation or a trailing `\` may continue on the next line.
        # cmd2 would run each line separately.
        keys.remove(Keys.BracketedPaste)

    def _interaction(self) -> Interaction:
        """Return everything that only a prompt can provide to the session."""
        return Interaction(
            confirm=self._confirm,
            ask=self._ask,
            take_typed_ahead=self._take_typeahead,
            prompt=Prompt(self._history.get_strings, self._aliases, self._settings, lambda: self._log.commands),
            expand=lambda line: expand(line, self._aliases),
            record=self._log.record_command,
        )

    def _on_rendered(self) -> None:
        self._monitor.start()
        if self._is_at_end:
            # A signal arrived before the prompt was drawn.
            self._leave_prompt()

    def get_bottom_toolbar(self) -> str:
        """Return the text of the line below the prompt."""
        return self._monitor.toolbar(self.main_session.app.output.get_size().columns)

    def preloop(self) -> None:
        """Run the start-up file after cmd2 has set the signal handlers."""
        with self._running():
            run_startup(self._session)

    def _read_raw_input(self, *args: Any, **options: Any) -> str:
        """Read a line. cmd2 would return a word for the end of the input, which can be typed as well."""
        if self._session.has_quit:
            # The start-up file contained `quit`.
            self._is_at_end = True
            return ""
        self._is_reading = True
        try:
            # At the prompt Ctrl-C is a key. A late signal must not end a prompt that is not complete yet.
            return super()._read_raw_input(*args, handle_sigint=False, **options)
        except EOFError:
            self._is_at_end = True
            if self.has_hung_up():
                self.exit_code = _HUNG_UP
            self.poutput("")
            return ""
        finally:
            self._is_reading = False

    def onecmd_plus_hooks(self, line: str, **_options: Any) -> bool:
        """Run a line; return True to leave the shell."""
        if self._is_at_end:
            return True
        if error := self._history.take_error():
            self._session.renderer.error(error)
        # As in any shell, a blank line keeps the exit status, and `quit` leaves with that of the line before.
        if line.strip():
            status = self._run(line)
            self.exit_code = status or (self.exit_code if self._session.has_quit else status)
        return self._session.has_quit or self._is_at_end

    def _run(self, line: str) -> int:
        status = INTERRUPTED
        self._log.start_line(line)
        # A second Ctrl-C may arrive while the first is handled.
        with contextlib.suppress(KeyboardInterrupt), self._running():
            status = self._session.run_text(line)
        if status == INTERRUPTED:
            # The terminal has printed ^C on this line.
            self.poutput("")
        return status

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        """Let Ctrl-C interrupt the block, which runs in the terminal modes from before mclu started."""
        self._terminal.restore()
        self._is_running = True
        try:
            yield
        finally:
            self._is_running = False
            self._terminal.restore()

    def _confirm(self, question: str) -> bool:
        """Prompt for yes or no; return True for a reply that begins with y. The end of the input means no."""
        self._store_typeahead()
        self.poutput(question + " [y/N] ", end="")
        self.stdout.flush()
        is_confirmed = self.stdin.readline().strip().lower().startswith("y")
        self._log.record_reply(is_confirmed=is_confirmed)
        return is_confirmed

    def _ask(self, question: Question) -> str | None:
        """Prompt for the reply to a node's question; return None at the end of the input."""
        # sshd may ask anything (RFC 4256).
        text = printable(question.text, "\n")
        if question.is_notice:
            self.poutput(text)
            return None
        self._store_typeahead()
        reply = ""
        if question.is_secret:
            with contextlib.suppress(EOFError):
                return getpass(text)
        else:
            self.poutput(text, end="")
            self.stdout.flush()
            reply = self.stdin.readline()
        if not reply:
            # Ctrl-D does not end the line.
            self.poutput("")
        return reply.strip() or None

    def _store_typeahead(self) -> None:
        """Keep the keys typed before a question was shown for the next prompt, so that they do not answer it."""
        keys: list[KeyPress] = []
        Vt100Parser(keys.append).feed_and_flush(self._terminal.read_typeahead())
        store_typeahead(self.main_session.input, keys)

    def _take_typeahead(self) -> bytes:
        """Return the keys that the prompt has read after the current line, for a program that takes the terminal."""
        return "".join(key.data for key in get_typeahead(self.main_session.input)).encode()

    def has_hung_up(self) -> bool:
        """Return whether the terminal is closed, and detach from it if so."""
        return self._terminal.detach_if_closed()

    def termination_signal_handler(self, signum: int, frame: Any) -> None:
        """End the shell on SIGHUP or SIGTERM."""
        if is_put_off(signum, frame):
            return
        # The exception of cmd2's handler is lost in a finalizer, for example. This also ends the shell then.
        self._is_at_end = True
        self._terminal.detach_if_closed()
        loop = self.main_session.app.loop
        if self._is_running:
            # The running line ends as after Ctrl-C, then the shell.
            raise_for(signum)
        if not self._is_reading:
            super().termination_signal_handler(signum, frame)
        # An exception within a callback of the event loop would be printed with a traceback.
        self.exit_code = 128 + signum
        if loop is not None:
            loop.call_soon_threadsafe(self._leave_prompt)

    def _leave_prompt(self) -> None:
        app = self.main_session.app
        if app.is_running and not app.is_done:
            app.exit(exception=EOFError)

    def sigint_handler(self, signum: int, frame: Any) -> None:
        """Interrupt the running line. Ctrl-C at any other moment must not end the shell."""
        if self._is_running and not is_put_off(signum, frame):
            raise KeyboardInterrupt
