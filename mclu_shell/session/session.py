"""The session: runs every line of the prompt, of -c, of a script and of single commands."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from mclu_shell.errors import Interrupted, MCluError, Question, UsageError
from mclu_shell.language import parser
from mclu_shell.language.line import Line
from mclu_shell.language.script import Script
from mclu_shell.output.text_renderer import Renderer
from mclu_shell.session.exit_status import (
    DONE,
    FAILED,
    READER_GONE,
    ExitStatus,
    ReaderGone,
    catch_errors,
    ends_lines,
    is_interrupted,
    writing,
)
from mclu_shell.session.interaction import Interaction
from mclu_shell.session.lazy_cloud import LazyCloud
from mclu_shell.session.line_runner import LineRunner
from mclu_shell.session.script_check import ScriptCheck

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mclu_shell.cloud.cloud import Cloud


class Session:
    """Runs lines against one cloud, which is opened when a command first needs it.

    The `run_` and `check_` methods return an exit status and raise no error: 0 done, 1 failed, 2 usage,
    130 interrupted (129 and 143: by SIGHUP and SIGTERM), 141 if the reader of the output has closed the pipe.
    """

    def __init__(
        self,
        open_cloud: Callable[[], "Cloud"],
        renderer: Renderer,
        find_config: Callable[[], "Path | None"] = lambda: None,
        *,
        keep_going: bool = False,
        verbose: bool = False,
        is_dry: bool = False,
    ) -> None:
        """Create a session; `find_config` returns the file that `init` writes, None if there is none."""
        self.renderer = renderer
        self.find_config = find_config
        self.keep_going = keep_going
        self.verbose = verbose
        # A dry run: print changes instead of making them.
        self.is_dry = is_dry
        self._cloud = LazyCloud(open_cloud, self._configure)
        self._runner = LineRunner(
            self._cloud, renderer.out, self._run_nested, find_config, is_dry=is_dry, verbose=verbose
        )
        # The paths of the running scripts, the innermost last.
        self._running: list[str] = []

    @property
    def interaction(self) -> Interaction:
        """The interactive shell's part; the shell sets it before its first line."""
        return self._runner.interaction

    @interaction.setter
    def interaction(self, interaction: Interaction) -> None:
        self._runner.interaction = interaction

    @property
    def has_quit(self) -> bool:
        """True after `quit`."""
        return self._runner.has_quit

    @property
    def opened(self) -> "Cloud | None":
        """The cloud, if it has been opened."""
        return self._cloud.opened

    def open_cloud(self) -> "Cloud":
        """Return the cloud; open it on first use, from any thread. Raise ConfigError without a configuration."""
        return self._cloud.open()

    def close(self) -> None:
        """Close the cloud's connections; the session cannot open it again."""
        self._cloud.close()

    def _configure(self, cloud: "Cloud") -> None:
        # Only the interactive shell asks; one-shots fail with ssh's message.
        if self.interaction.prompt is not None:
            cloud.asker = self._ask
        if self.is_dry:
            cloud.make_read_only()

    def _ask(self, question: Question) -> str | None:
        self.renderer.end_progress()
        return self.interaction.ask(question) if self.interaction.ask is not None else None

    def run_text(self, *texts: str) -> int:
        """Run the commands of texts, each complete in itself; stop at the first failure unless `keep_going`."""
        with self._catch_errors() as outcome:
            lines = [line for text in texts for line in parser.parse(text)]
            outcome.status = self._run_lines(self._expanded(lines), "", keep_going=self.keep_going)
        return outcome.status

    def run_words(self, words: list[str]) -> int:
        """Run one command whose words the user's own shell has separated."""
        with self._catch_errors() as outcome:
            outcome.status = self._runner.run(Line(tuple(words)), self.renderer, "")
        return outcome.status

    def run_startup(self, text: str, name: str) -> int:
        """Run a start-up file; continue after a line that fails."""
        with self._catch_errors() as outcome:
            outcome.status = self._run_lines(self._expanded(parser.parse(text, name)), name, keep_going=True)
        return outcome.status

    def run_script(self, script: Script) -> int:
        """Read and check a whole script, then run it."""
        with self._catch_errors() as outcome:
            parts = script.parts()
            problems = self._find_problems(script, parts)
            lines = [part for part in parts if isinstance(part, Line)]
            outcome.status = self._print_all(problems) if problems else self._run_checked(script, lines)
        return outcome.status

    def check_script(self, script: Script) -> int:
        """Print the errors of a script without running it; return 0 if there are none."""
        with self._catch_errors() as outcome:
            outcome.status = self._print_all(self._find_problems(script, script.parts()))
        return outcome.status

    def _catch_errors(self, place: str = "") -> "AbstractContextManager[ExitStatus]":
        return catch_errors(self.renderer, place, verbose=self.verbose)

    def _find_problems(self, script: Script, parts: Sequence[Line | UsageError]) -> list[MCluError]:
        """Return the errors of a script and of those that it runs."""
        check = ScriptCheck(self._runner.prepare, [*self._running, script.place])
        return list(check.find_problems(script, parts))

    def _print_all(self, problems: Sequence[MCluError]) -> int:
        """Print errors as one answer; return the worst of their statuses."""
        with writing(), self.renderer.frame("errors", ()):
            for problem in problems:
                self.renderer.error(problem)
        return max((problem.status for problem in problems), default=DONE)

    def _run_checked(self, script: Script, lines: Sequence[Line]) -> int:
        self._running.append(script.place)
        begun: list[Line] = []
        try:
            status = self._run_lines(_record_begun(lines, begun), script.name, keep_going=self.keep_going)
        finally:
            self._running.pop()
        if is_interrupted(status) and len(lines) > 1:
            rest, done = len(lines) - len(begun), "shown" if self.is_dry else "run"
            fact = f"interrupted; commands {done}: {len(begun) - 1}, not started: {rest}"
            self.renderer.error(Interrupted(fact, place=f"{script.name}:{begun[-1].number}"))
        return status

    def _run_nested(self, script: Script, renderer: Renderer) -> int:
        """Run a script for a command, whose output may go to a pipe or a file."""
        before, self.renderer = self.renderer, renderer
        try:
            status = self.run_script(script)
        finally:
            self.renderer = before
        if status == READER_GONE:
            raise ReaderGone
        return status

    def _expanded(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Yield the lines with their aliases expanded, one at a time: a line may define an alias for the next."""
        for line in lines:
            yield from self.interaction.expand(line)

    def _run_lines(self, lines: Iterable[Line], name: str, *, keep_going: bool) -> int:
        """Run lines, of the script `name` or entered by the user; return the first failure, or 1 with `keep_going`."""
        worst = DONE
        for line in lines:
            status = self._run_line(line, f"{name}:{line.number}" if name else "")
            if not name:
                self.interaction.record(line, status)
            if ends_lines(status):
                return status
            if line.may_fail:
                status = DONE
            if status != DONE and not keep_going:
                return status
            worst = max(worst, FAILED if status else DONE)
            if self.has_quit:
                break
        return worst

    def _run_line(self, line: Line, place: str) -> int:
        with self._catch_errors(place) as outcome:
            outcome.status = self._runner.run(line, self.renderer, place)
        return outcome.status


def _record_begun(lines: Iterable[Line], begun: list[Line]) -> Iterator[Line]:
    for line in lines:
        begun.append(line)
        yield line
