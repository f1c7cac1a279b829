"""The dispatcher: every line of every door is run here, and here alone errors are caught and told."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, TextIO

from mclu_shell import command_loader
from mclu_shell.command import Command, Context, HelpAsked, Prompt
from mclu_shell.errors import Interrupted, MCluError, OutputError, Question, UsageError
from mclu_shell.language import parser
from mclu_shell.language.parser import Line
from mclu_shell.language.script import Script
from mclu_shell.output.results import Handover, Quit, Result
from mclu_shell.output.text_renderer import Renderer
from mclu_shell.script_check import Check
from mclu_shell.subshell import reading_in_the_users_shell, run_in_the_users_shell

if TYPE_CHECKING:
    import argparse

    from mclu_shell.cloud.cloud import Cloud
    from mclu_shell.cloud.dryrun.cloud import DryRunCloud

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
# What a program ended by SIGPIPE leaves: nobody reads what more there is to say, so nothing more is done.
READER_GONE = 141
# What a program ended by Ctrl-C or Ctrl-\ leaves, or a shell that tells of it, by convention with 128 added.
_INTERRUPTED = {status for number in (signal.SIGINT, signal.SIGQUIT) for status in (-number, 128 + number)}


class Session:
    """Runs lines against one cloud, which is opened when a command first needs it.

    The methods return an exit status and raise nothing: 0 done, 1 failed, 2 usage, 130 interrupted.
    """

    def __init__(
        self,
        open_cloud: Callable[[], "Cloud"],
        renderer: Renderer,
        *,
        keep_going: bool = False,
        verbose: bool = False,
        is_dry: bool = False,
    ) -> None:
        self.renderer = renderer
        self.keep_going = keep_going
        self.verbose = verbose
        # Nothing is changed, but told.
        self.is_dry = is_dry
        self.has_quit = False
        # Set by the interactive shell alone.
        self.confirm: Callable[[str], bool] | None = None
        self.asker: Callable[[Question], str | None] | None = None
        # What was typed behind the line that runs, and is already read; set by the interactive shell alone, too.
        self.typed_ahead: Callable[[], bytes] | None = None
        # So are these: what it has besides, and what makes of a line those that its alias stands for.
        self.prompt: Prompt | None = None
        self.expand: Callable[[Line], Iterable[Line]] | None = None
        # Told of each command of a line, and its status; not of those of scripts.
        self.ran: Callable[[Line, int], None] | None = None
        self._out = renderer.out
        self._open_cloud = open_cloud
        self._opening = threading.Lock()
        self._is_closed = False
        # The scripts that run, the innermost last.
        self._scripts: list[str] = []
        self._cloud: Cloud | None = None
        self._dry_run_cloud: DryRunCloud | None = None

    def open_cloud(self) -> "Cloud":
        """The cloud, opened on first use; ConfigError if there is no configuration for it."""
        # Completion asks for it from a thread of its own.
        with self._opening:
            if self._is_closed:
                raise MCluError("mclu is about to end")
            if self._cloud is None:
                self._cloud = self._open_cloud()
                self._cloud.asker = self._ask if self.asker is not None else None
                if self.is_dry:
                    self._cloud.make_read_only()
            return self._cloud

    def _open_dry_run_cloud(self) -> "DryRunCloud":
        """The cloud as the lines of a dry run so far would have left it."""
        if self._dry_run_cloud is None:
            # Only a dry run needs it.
            from mclu_shell.cloud.dryrun.cloud import DryRunCloud

            self._dry_run_cloud = DryRunCloud(self.open_cloud())
        return self._dry_run_cloud

    def _ask(self, question: Question) -> str | None:
        self.renderer.end_progress()
        return self.asker(question) if self.asker is not None else None

    @property
    def opened(self) -> "Cloud | None":
        """The cloud, if it has been opened already."""
        return self._cloud

    def close(self) -> None:
        """Give up the cloud's connections, and open it no more."""
        # What goes on behind the prompt may be opening it at this moment.
        with self._opening:
            self._is_closed = True
            if self._cloud is not None:
                self._cloud.close()

    def run_text(self, *texts: str) -> int:
        """Run the commands of texts, each complete in itself; stop at the first failure, unless told to keep going."""
        with self._caught("") as status:
            lines = [line for text in texts for line in parser.parse(text)]
            status.append(self._run_lines(self._expanded(lines), "", keep_going=self.keep_going))
        return status[-1]

    def run_words(self, words: list[str]) -> int:
        """Run one command whose words are already apart, as the user's own shell hands them over."""
        with self._caught("") as status:
            status.append(self._run_line(Line(tuple(words)), ""))
        return status[-1]

    def run_script(self, script: Script) -> int:
        """Run a script: all of it is read and checked before its first command runs."""
        with self._caught("") as status:
            parts = script.parts()
            problems = self._problems(script, parts)
            lines = [part for part in parts if isinstance(part, Line)]
            status.append(self._tell_all(problems) if problems else self._run_checked(script, lines))
        return status[-1]

    def check_script(self, script: Script) -> int:
        """Tell what is wrong with a script, and run nothing of it; 0 if it can be run."""
        with self._caught("") as status:
            status.append(self._tell_all(self._problems(script, script.parts())))
        return status[-1]

    def _problems(self, script: Script, parts: Sequence[Line | UsageError]) -> list[MCluError]:
        """All that is wrong with a script and those that it runs."""
        check = Check(self._prepare, [*self._scripts, script.place])
        return list(check.find_problems(script, parts))

    def _tell_all(self, problems: Sequence[MCluError]) -> int:
        """Tell problems, as one answer; the worst status of them."""
        with _writing(), self.renderer.answering("errors", ()):
            for problem in problems:
                self.renderer.error(problem)
        return max((problem.status for problem in problems), default=DONE)

    def _run_checked(self, script: Script, lines: Sequence[Line]) -> int:
        self._scripts.append(script.place)
        begun: list[Line] = []
        try:
            status = self._run_lines(_noting(lines, begun), script.name, keep_going=self.keep_going)
        finally:
            self._scripts.pop()
        if status == INTERRUPTED and len(lines) > 1:
            rest, done = len(lines) - len(begun), "told" if self.is_dry else "run"
            told = f"interrupted; commands {done} before: {len(begun) - 1}, not begun: {rest}"
            self.renderer.error(Interrupted(told, place=f"{script.name}:{begun[-1].number}"))
        return status

    def _run_within(self, script: Script, renderer: Renderer) -> int:
        """Run a script for a command, whose answers may go to a pipe or a file."""
        before, self.renderer = self.renderer, renderer
        try:
            status = self.run_script(script)
        finally:
            self.renderer = before
        if status == READER_GONE:
            raise _ReaderGone
        return status

    def run_startup(self, text: str, name: str) -> int:
        """Run a start-up file: none of its lines is stopped by what is wrong with another."""
        with self._caught("") as status:
            status.append(self._run_lines(self._expanded(parser.parse(text, name)), name, keep_going=True))
        return status[-1]

    def _expanded(self, lines: Iterable[Line]) -> Iterator[Line]:
        """With what aliases stand for, each at its turn: the line before may have defined one."""
        for line in lines:
            yield from self.expand(line) if self.expand else (line,)

    def _run_lines(self, lines: Iterable[Line], place: str, *, keep_going: bool) -> int:
        worst = DONE
        for line in lines:
            status = self._run_one(line, f"{place}:{line.number}" if place else "")
            if self.ran is not None and not place:
                self.ran(line, status)
            if status in (INTERRUPTED, READER_GONE):
                return status
            if line.may_fail:
                status = DONE
            if status != DONE and not keep_going:
                return status
            worst = max(worst, FAILED if status else DONE)
            if self.has_quit:
                break
        return worst

    def _run_one(self, line: Line, place: str) -> int:
        with self._caught(place) as status:
            status.append(self._run_line(line, place))
        return status[-1]

    @contextlib.contextmanager
    def _caught(self, place: str, answer: Renderer | None = None) -> Iterator[list[int]]:
        """The one place where errors end; the status to return is the last of the list.

        They are told among the `answer` that they end; but that it cannot be written is for whoever has opened it.
        """
        renderer = answer or self.renderer
        status = [FAILED]
        try:
            yield status
        except MCluError as error:
            if answer is not None and isinstance(error, OutputError):
                raise
            renderer.error(error, place)
            status.append(error.status)
        except KeyboardInterrupt:
            renderer.interrupted(place)
            status.append(INTERRUPTED)
        except _ReaderGone:
            if answer is not None:
                raise
            status.append(READER_GONE)
        except Exception as error:  # noqa: BLE001
            defect = MCluError(f"a defect in mclu: {error!r}", remedy="-v shows where; please report it")
            renderer.error(defect, place)
            if self.verbose:
                import traceback

                traceback.print_exc(file=renderer.err)

    def _prepare(self, line: Line) -> tuple[Command, "argparse.Namespace"]:
        command = command_loader.load_command(line.words[0], self.prompt.aliases if self.prompt else ())
        try:
            args = command.parser().parse(list(line.words[1:]))
        except HelpAsked:
            explaining = command_loader.load_command("help")
            return explaining, explaining.parser().parse([command.name])
        if command.needs_prompt and self.prompt is None:
            told = f"{command.name}: only the interactive shell has that"
            raise UsageError(told, remedy=f"see 'help {command.name}'")
        return command, args

    def _dry_run_line(self, line: Line, place: str) -> int:
        """Tell what a line would do, and do nothing but ask."""
        # Only a dry run needs it.
        from mclu_shell.dryrun import outwards, placed

        status = DONE
        told = list(outwards(line))
        if line.shell:
            if self._dry_run_cloud is not None:
                self._dry_run_cloud.assume_woken()
        else:
            status = self._run_command(line, self.renderer, place)
        with _writing(), self.renderer.answering("", None):
            for result in placed(told, place):
                self.renderer.show(result)
        return status

    def _run_line(self, line: Line, place: str) -> int:
        if line.pipe or line.output:
            # A mistyped command must not empty the file, nor start the reader.
            self._prepare(line)
        if self.is_dry:
            return self._dry_run_line(line, place)
        if line.shell:
            code = run_in_the_users_shell(line.shell, line.variables, self._out_of_programs)
            return self._status_of(line.shell, code, place)
        if line.pipe:
            return self._run_piped(line, place)
        if line.output:
            with self._file(line) as out:
                return self._run_command(line, self.renderer.to(out), place)
        return self._run_command(line, self.renderer, place)

    def _run_piped(self, line: Line, place: str) -> int:
        with reading_in_the_users_shell(line.pipe, line.variables, self._out_of_programs) as reader:
            assert isinstance(reader.stdin, TextIOWrapper)
            try:
                status = self._run_command(line, self.renderer.to(reader.stdin), place)
            except _ReaderGone:
                # What the reader makes of it decides, whether or not it was quick enough to leave.
                status = DONE
        return status or self._status_of(line.pipe, reader.returncode, place)

    def _status_of(self, program: str, code: int, place: str) -> int:
        """Our status for that of a program of the user's shell; where a script ends with it, that is told."""
        if code in _INTERRUPTED:
            return INTERRUPTED
        if code and place:
            how = f"ended with status {code}" if code > 0 else f"was ended by signal {-code}"
            self.renderer.error(MCluError(f"{program!r} {how}"), place)
        return FAILED if code else DONE

    @property
    def _out_of_programs(self) -> TextIO | None:
        """Where programs of the user's shell write: where the script goes that they are in; else (None) as we do."""
        return None if self.renderer.out is self._out else self.renderer.out

    @contextlib.contextmanager
    def _file(self, line: Line) -> Iterator[TextIO]:
        try:
            with open(os.path.expanduser(line.output), "a" if line.append else "w", encoding="utf-8") as out:  # noqa: PTH111, PTH123
                yield out
        except OSError as error:
            raise OutputError(f"cannot write: {error.strerror}", place=line.output) from error

    def _run_command(self, line: Line, renderer: Renderer, place: str) -> int:
        """Run a command and show what it yields, as one answer with what went wrong."""
        command, args = self._prepare(line)
        # A reader such as less has the screen to itself.
        notify = _say_nothing if line.pipe else renderer.progress
        context = Context(
            self.open_cloud, notify, self.confirm, self.prompt, self._open_dry_run_cloud, renderer.is_data
        )
        with (
            _writing(),
            renderer.answering(command.name, command.document),
            self._caught(place, renderer) as status,
        ):
            status.append(self._show(self._results(command, context, args, place), renderer, place))
        return status[-1]

    def _show(self, results: Iterable[Result], renderer: Renderer, place: str) -> int:
        """Show what a command yields; errors among it are told, and make the status 1."""
        status = DONE
        try:
            for result in results:
                if isinstance(result, MCluError):
                    renderer.error(result, place)
                    status = max(status, result.status)
                elif isinstance(result, Quit):
                    self.has_quit = True
                elif isinstance(result, Script):
                    status = max(status, self._run_within(result, renderer))
                elif isinstance(result, Handover):
                    self._hand_over(result, renderer)
                else:
                    with _writing():
                        renderer.show(result)
        finally:
            renderer.end_progress()
        return status

    def _results(self, command: Command, context: Context, args: "argparse.Namespace", place: str) -> Iterable[Result]:
        if not self.is_dry or command.dry_run is None:
            return command.run(context, args)
        from mclu_shell.dryrun import placed

        return placed(command.dry_run(context, args), place)

    def _hand_over(self, handover: Handover, renderer: Renderer) -> None:
        # Most commands need no terminal.
        from mclu_shell.terminal import Terminal

        renderer.end_progress()
        try:
            handover.run(Terminal(sys.stdin, renderer.out, renderer.err, self.typed_ahead))
        except BrokenPipeError as error:
            raise _ReaderGone from error


class _ReaderGone(Exception):
    """The reader of our answer has seen enough of it."""


def _noting(lines: Iterable[Line], begun: list[Line]) -> Iterator[Line]:
    for line in lines:
        begun.append(line)
        yield line


def _say_nothing(_words: str) -> None:
    pass


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Tell whoever has left from what is full."""
    try:
        yield
    except BrokenPipeError as error:
        raise _ReaderGone from error
    except OSError as error:
        raise OutputError(f"cannot write the answer: {error.strerror}") from error
