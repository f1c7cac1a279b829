"""Running one line: a command with its pipe or redirection, or a program of the user's shell."""

import contextlib
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

from mclu_shell import command_loader
from mclu_shell.command import Command, Context, HelpRequested
from mclu_shell.errors import MCluError, OutputError, UsageError
from mclu_shell.language.line import Line
from mclu_shell.language.script import Script
from mclu_shell.output.results import Handover, Quit, Result, Watch
from mclu_shell.output.text_renderer import Renderer
from mclu_shell.session.exit_status import (
    DONE,
    FAILED,
    INTERRUPTED,
    ReaderGone,
    catch_errors,
    is_interrupted,
    status_of_program,
    writing,
)
from mclu_shell.session.interaction import Interaction
from mclu_shell.session.lazy_cloud import LazyCloud
from mclu_shell.session.subshell import end_reader, pipe_to_user_shell, run_in_user_shell
from mclu_shell.signals import breakable_write
from mclu_shell.user_paths import expand_home

if TYPE_CHECKING:
    import argparse

T = TypeVar("T")
U = TypeVar("U")


class LineRunner:
    """Runs single lines. `run_script` runs the script that a command yields, and writes to the given renderer."""

    def __init__(
        self, cloud: LazyCloud, stdout: TextIO, run_script: Callable[[Script, Renderer], int],
        find_config: Callable[[], Path | None], *, is_dry: bool, verbose: bool,
    ) -> None:  # fmt: skip
        self.interaction = Interaction()
        self.has_quit = False
        self._cloud = cloud
        self._stdout = stdout
        self._run_script = run_script
        self._find_config = find_config
        self._is_dry = is_dry
        self._verbose = verbose

    def prepare(self, line: Line) -> tuple[Command, "argparse.Namespace"]:
        """Return the command of a line and its arguments; raise UsageError."""
        prompt = self.interaction.prompt
        command = command_loader.load_command(line.words[0], prompt.aliases if prompt else ())
        try:
            args = command.parser().parse(list(line.words[1:]))
        except HelpRequested:
            help_command = command_loader.load_command("help")
            return help_command, help_command.parser().parse([command.name])
        if command.needs_prompt and prompt is None:
            raise UsageError(
                f"{command.name}: only available in the interactive shell", remedy=f"see 'help {command.name}'"
            )
        return command, args

    def run(self, line: Line, renderer: Renderer, place: str) -> int:
        """Run a line; return its exit status, or raise the error that prevents it from running.

        `place` is FILE:LINE in a script, and empty elsewhere.
        """
        if line.pipe or line.output:
            # A mistyped command must not truncate the file, nor start the reader.
            self.prepare(line)
        if self._is_dry:
            return self._dry_run(line, renderer, place)
        if line.shell:
            code = run_in_user_shell(line.shell, line.variables, self._stdout_of_programs(renderer))
            return self._status_of(line.shell, code, renderer, place)
        if line.pipe:
            return self._run_piped(line, renderer, place)
        if line.output:
            with _open_output(line) as out:
                return self._run_command(line, renderer.to(out), place)
        return self._run_command(line, renderer, place)

    def _dry_run(self, line: Line, renderer: Renderer, place: str) -> int:
        """Print what a line would do."""
        # Only a dry run needs it.
        from mclu_shell.dry_run_text import planned_outside, with_place

        status = DONE
        planned = list(planned_outside(line))
        if line.shell:
            if self._cloud.dry_run is not None:
                self._cloud.dry_run.assume_woken()
        else:
            status = self._run_command(line, renderer, place)
        with writing(), renderer.frame("", None):
            for result in with_place(planned, place):
                renderer.show(result)
        return status

    def _run_piped(self, line: Line, renderer: Renderer, place: str) -> int:
        with pipe_to_user_shell(line.pipe, line.variables, self._stdout_of_programs(renderer)) as reader:
            assert isinstance(reader.stdin, TextIOWrapper)
            try:
                status = self._run_command(line, renderer.to(reader.stdin), place)
            except ReaderGone as gone:
                # The reader's own exit status counts, whether or not it closed the pipe before we had finished.
                status = gone.status
            if is_interrupted(status) and status != INTERRUPTED:
                end_reader(reader)
        return status or self._status_of(line.pipe, reader.returncode, renderer, place)

    def _status_of(self, program: str, code: int, renderer: Renderer, place: str) -> int:
        """Return our status after a program of the user's shell; in a script, print its failure."""
        status = status_of_program(code)
        if status == FAILED and place:
            result = f"ended with status {code}" if code > 0 else f"was ended by signal {-code}"
            renderer.error(MCluError(f"{program!r} {result}"), place)
        return status

    def _stdout_of_programs(self, renderer: Renderer) -> TextIO | None:
        """Return where programs of the user's shell write: to the output of their script, or None for our own."""
        return None if renderer.out is self._stdout else renderer.out

    def _run_command(self, line: Line, renderer: Renderer, place: str) -> int:
        """Run a command, and print its results and errors as one answer."""
        command, args = self.prepare(line)
        context = Context(
            self._cloud.open,
            # A reader such as less has the screen to itself.
            _ignore if line.pipe else renderer.progress,
            self._unless_script(place, self.interaction.confirm),
            self.interaction.prompt,
            self._cloud.open_dry_run,
            renderer.is_data,
            self._find_config,
            self._unless_script(place, self.interaction.ask),
            renderer.is_styled,
        )
        with (
            writing(),
            renderer.frame(command.name, command.document),
            catch_errors(renderer, place, verbose=self._verbose, is_within=True) as outcome,
        ):
            results = self._results(command, context, args, place)
            outcome.status = self._show(results, renderer, place, must_finish=self._changes_something(command))
        return outcome.status

    def _unless_script(self, place: str, ask: Callable[[T], U] | None) -> Callable[[T], U] | None:
        """Return a function that asks the user; None in a script, except one that is run at the prompt."""
        return None if place and self.interaction.prompt is None else ask

    def _changes_something(self, command: Command) -> bool:
        return command.dry_run is not None and not self._is_dry

    def _results(self, command: Command, context: Context, args: "argparse.Namespace", place: str) -> Iterable[Result]:
        if not self._is_dry or command.dry_run is None:
            return command.run(context, args)
        from mclu_shell.dry_run_text import with_place

        return with_place(command.dry_run(context, args), place)

    def _show(self, results: Iterable[Result], renderer: Renderer, place: str, *, must_finish: bool) -> int:
        """Print results; return the worst status of the errors among them.

        If the output fails, a command that changes something (`must_finish`) is completed without it: the consumer of
        the output does not decide what is done.
        """
        status, lost = DONE, None
        try:
            for result in results:
                # Errors also go to standard error.
                if lost is None or isinstance(result, MCluError):
                    try:
                        status = max(status, self._show_one(result, renderer, place))
                    except (ReaderGone, OutputError) as error:
                        if not must_finish:
                            raise
                        lost = error
        finally:
            _close(results)
            renderer.end_progress()
        if isinstance(lost, ReaderGone):
            raise ReaderGone(status) from lost
        if lost is not None:
            raise lost
        return status

    def _show_one(self, result: Result, renderer: Renderer, place: str) -> int:
        """Print one result; return its status."""
        if isinstance(result, MCluError):
            with writing(), breakable_write():
                renderer.error(result, place)
            return result.status
        if isinstance(result, Quit):
            self.has_quit = True
        elif isinstance(result, Script):
            return self._run_script(result, renderer)
        elif isinstance(result, Watch):
            # Most commands do not need it.
            from mclu_shell.session.watching import show_watch

            show_watch(result, renderer, lambda item: self._show_one(item, renderer, place))
        elif isinstance(result, Handover):
            self._hand_over(result, renderer)
        else:
            with writing(), breakable_write():
                renderer.show(result)
        return DONE

    def _hand_over(self, handover: Handover, renderer: Renderer) -> None:
        # Most commands need no terminal.
        from mclu_shell.terminal import Terminal

        renderer.end_progress()
        try:
            handover.run(Terminal(sys.stdin, renderer.out, renderer.err, self.interaction.take_typed_ahead))
        except BrokenPipeError as error:
            raise ReaderGone from error


@contextlib.contextmanager
def _open_output(line: Line) -> Iterator[TextIO]:
    try:
        with open(expand_home(line.output), "a" if line.append else "w", encoding="utf-8") as out:  # noqa: PTH123
            yield out
    except OSError as error:
        raise OutputError(f"cannot write: {error.strerror}", place=line.output) from error


def _close(results: Iterable[Result]) -> None:
    """End a command whose results were not all taken, before anything else is done."""
    if isinstance(results, Generator):
        results.close()


def _ignore(_text: str) -> None:
    pass
