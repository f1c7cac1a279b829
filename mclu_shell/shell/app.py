"""The prompt: cmd2 reads the lines, the session runs them."""

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
from mclu_shell.shell.background import DEFAULTS, Live
from mclu_shell.shell.completer import SnapshotCompleter
from mclu_shell.shell.history import ShellHistory, history_path
from mclu_shell.shell.session_log import SessionLog
from mclu_shell.shell.startup import run_startup
from mclu_shell.shell.terminal_modes import PromptTerminal
from mclu_shell.signals import handled, is_put_off

# As if it were the signal that has ended us.
_HUNG_UP = 128 + signal.SIGHUP


def run_shell(session: Session, count: int) -> int:
    """Read and run lines until the user leaves; the status of the last of them. `count` is that of the nodes."""
    # The cloud is not opened before something needs it: the prompt comes first.
    shell = Shell(session)
    nodes = f"{count} {'node' if count == 1 else 'nodes'}"
    shell.poutput(f"mclu {__version__}, {nodes}; 'help' lists the commands, Ctrl-D leaves.")
    if session.is_dry:
        shell.poutput("A dry run: each line tells what it would do after those before it, and changes nothing.")
    try:
        # Ctrl-\ is for the program that runs. What is ignored, rather than handled, the program would inherit.
        with handled([signal.SIGQUIT], lambda *_: None):
            return shell.cmdloop()
    except OSError:
        # A terminal that has gone cannot be written to, sometimes before a signal tells that it has.
        if not shell.has_hung_up():
            raise
        return _HUNG_UP


class Shell(cmd2.Cmd):
    """cmd2's prompt in front of the session; none of cmd2's own commands is reached."""

    def __init__(self, session: Session) -> None:
        super().__init__(allow_cli_args=False, allow_clipboard=False, auto_suggest=True, enable_bottom_toolbar=True)
        self.prompt = "mclu (dry run)> " if session.is_dry else "mclu> "
        self._mclu = session
        self._is_running = False
        self._is_reading = False
        self._is_at_end = False
        self._terminal = PromptTerminal(self.stdin, self.stdout)
        self._history = ShellHistory(history_path())
        self._record = SessionLog()
        self._settings = dict(DEFAULTS)
        self._aliases: dict[str, str] = {}
        session.interaction = self._interaction()
        self._live = Live(session, self._redraw, self._settings, lambda words: self.add_alert(msg=printable(words)))
        # Not before the prompt stands: connecting would have it wait for the interpreter.
        self.main_session.app.after_render += lambda _app: self._rendered()
        self.main_session.completer = SnapshotCompleter(lambda: session.open_cloud().snapshot, self._aliases)
        self.main_session.history = self.main_session.default_buffer.history = self._history
        # cmd2's highlighting and its idea of an unfinished line know cmd2's commands only.
        self.main_session.lexer = None
        self.main_session.multiline = False
        self._bind_keys()
        # One name a line, with what is known of it beside it.
        self.main_session.complete_style = CompleteStyle.COLUMN

    def _bind_keys(self) -> None:
        keys = self.main_session.key_bindings
        assert isinstance(keys, KeyBindings)
        # As with readline, Enter runs what Ctrl-R has found.
        keys.add("enter", filter=is_searching)(accept_search_and_accept_input)
        # What is pasted is one text until Enter runs it: a quotation or a `\` may go on in its next line. cmd2 would
        # run each line by itself.
        keys.remove(Keys.BracketedPaste)

    def _interaction(self) -> Interaction:
        """Return everything that only a prompt can provide to the session."""
        return Interaction(
            confirm=self._confirm,
            ask=self._ask,
            take_typed_ahead=self._take_typed_ahead,
            prompt=Prompt(self._history.get_strings, self._aliases, self._settings, lambda: self._record.ran),
            expand=lambda line: expand(line, self._aliases),
            record=self._record.note,
        )

    def _rendered(self) -> None:
        self._live.begin()
        if self._is_at_end:
            # Told so before the prompt stood.
            self._leave_prompt()

    def get_bottom_toolbar(self) -> str:
        """Return the line below the prompt."""
        return self._live.toolbar(self.main_session.app.output.get_size().columns)

    def _redraw(self) -> None:
        self.main_session.app.invalidate()

    def preloop(self) -> None:
        """Run the start-up file, when Ctrl-C is ours already."""
        with self._running():
            run_startup(self._mclu)

    def _read_raw_input(self, *given: Any, **options: Any) -> str:
        """Read a line; cmd2 would tell the end of the input by a word that can be typed as well."""
        if self._mclu.has_quit:
            # In the start-up file.
            self._is_at_end = True
            return ""
        self._is_reading = True
        try:
            # A key is a key there; a signal that comes a moment too late must not meet a prompt that is half there.
            return super()._read_raw_input(*given, handle_sigint=False, **options)
        except EOFError:
            self._is_at_end = True
            if self.has_hung_up():
                self.exit_code = _HUNG_UP
            self.poutput("")
            return ""
        finally:
            self._is_reading = False

    def onecmd_plus_hooks(self, line: str, **_options: Any) -> bool:
        """Run a line as every other door does; True when the user wants to leave."""
        if self._is_at_end:
            return True
        if error := self._history.take_error():
            self._mclu.renderer.error(error)
        # As in any shell, a line without a command leaves the status as it is, and one leaves with the last.
        if line.strip():
            status = self._run(line)
            self.exit_code = status or (self.exit_code if self._mclu.has_quit else status)
        return self._mclu.has_quit

    def _run(self, line: str) -> int:
        status = INTERRUPTED
        self._record.begin(line)
        # A second Ctrl-C may come while the first is dealt with.
        with contextlib.suppress(KeyboardInterrupt), self._running():
            status = self._mclu.run_text(line)
        if status == INTERRUPTED:
            # The terminal has shown ^C, and the prompt would stand behind it.
            self.poutput("")
        return status

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        """Let Ctrl-C interrupt what runs, in a terminal as mclu has found it."""
        self._terminal.settle()
        self._is_running = True
        try:
            yield
        finally:
            self._is_running = False
            self._terminal.settle()

    def _confirm(self, question: str) -> bool:
        """Ask at the terminal; whatever does not begin with y, also the end of the input, means no."""
        self._set_typed_aside()
        self.poutput(question + " [y/N] ", end="")
        self.stdout.flush()
        is_wanted = self.stdin.readline().strip().lower().startswith("y")
        self._record.answered(is_wanted=is_wanted)
        return is_wanted

    def _ask(self, question: Question) -> str | None:
        """Ask a person what a node wants to know; None at the end of the input."""
        self._set_typed_aside()
        said = ""
        if question.is_secret:
            with contextlib.suppress(EOFError):
                return getpass(question.text)
        else:
            self.poutput(question.text, end="")
            self.stdout.flush()
            said = self.stdin.readline()
        if not said:
            # Ctrl-D ends no line.
            self.poutput("")
        return said.strip() or None

    def _set_typed_aside(self) -> None:
        """Keep what was typed before a question stood for the prompt: it answers nothing that was not asked yet."""
        keys: list[KeyPress] = []
        Vt100Parser(keys.append).feed_and_flush(self._terminal.take_typed())
        store_typeahead(self.main_session.input, keys)

    def _take_typed_ahead(self) -> bytes:
        """What the prompt has read behind the line that runs: it is for what has the terminal now."""
        return "".join(key.data for key in get_typeahead(self.main_session.input)).encode()

    def has_hung_up(self) -> bool:
        """Whether there is no terminal any more; then it is let go of."""
        return self._terminal.let_go_if_lost()

    def termination_signal_handler(self, signum: int, frame: Any) -> None:
        """End when the terminal is closed or somebody says so."""
        if is_put_off(signum, frame):
            return
        # Where what is raised there is lost (in a finalizer, say), no line is run any more all the same.
        self._is_at_end = True
        self._terminal.let_go_if_lost()
        loop = self.main_session.app.loop
        if not self._is_reading:
            super().termination_signal_handler(signum, frame)
        # Raised among what the event loop runs, it would end in a traceback.
        self.exit_code = 128 + signum
        if loop is not None:
            loop.call_soon_threadsafe(self._leave_prompt)

    def _leave_prompt(self) -> None:
        app = self.main_session.app
        if app.is_running and not app.is_done:
            app.exit(exception=EOFError)

    def sigint_handler(self, signum: int, frame: Any) -> None:
        """Ctrl-C: what runs is interrupted, and nothing else, lest one too many ends the shell."""
        if self._is_running and not is_put_off(signum, frame):
            raise KeyboardInterrupt
