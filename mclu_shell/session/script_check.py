"""The check of a script before it runs."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence

from mclu_shell.command import Command
from mclu_shell.errors import MCluError, UsageError
from mclu_shell.language.line import Line
from mclu_shell.language.script import Script

# The depth of nested scripts is limited because each takes some of Python's stack.
_MAX_DEPTH = 30


class ScriptCheck:
    """Checks a script and those that it runs.

    `prepare` returns a line's command and arguments, or raises UsageError. `running` are the paths of the scripts that
    run, and of this one.
    """

    def __init__(self, prepare: Callable[[Line], tuple[Command, argparse.Namespace]], running: Sequence[str]) -> None:
        self._prepare = prepare
        self._running = list(running)
        # The errors of a nested script are reported once, however often it is run.
        self._checked: list[Script] = []

    def find_problems(
        self, script: Script, parts: Iterable[Line | UsageError], used_by: str = ""
    ) -> Iterator[MCluError]:
        """Yield an error, with its place, for each line that is wrong; `used_by` is the place that runs the script."""
        for part in parts:
            if isinstance(part, UsageError):
                # The cause may be the arguments from the outer script.
                yield _with_outer_place(used_by, part) if used_by else part
                continue
            place = f"{script.name}:{part.number}"
            try:
                yield from self._find_in(part, place)
            except MCluError as error:
                yield _with_outer_place(place, error)

    def _find_in(self, line: Line, place: str) -> Iterator[MCluError]:
        if line.shell:
            return
        command, args = self._prepare(line)
        if command.script is not None:
            yield from self._find_nested(command.script(args), place)

    def _find_nested(self, script: Script, used_by: str) -> Iterator[MCluError]:
        if not script.place:
            raise UsageError(f"cannot run {script.name} within a script: it is not a regular file, so it cannot be "
                "checked first")  # fmt: skip
        if script.place in self._running:
            raise UsageError(f"{script.name} runs itself in an endless loop")
        if len(self._running) >= _MAX_DEPTH:
            raise UsageError(f"{script.name} is nested too deeply", remedy=f"nest at most {_MAX_DEPTH} scripts")
        if script not in self._checked:
            self._checked.append(script)
            self._running.append(script.place)
            yield from self.find_problems(script, script.parts(), used_by)
            self._running.pop()


def _with_outer_place(place: str, error: MCluError) -> MCluError:
    """Return an error of another place with both places."""
    return error.with_context(place=place, fact=f"{error.place}: {error.fact}" if error.place else error.fact)
