"""What is wrong with a script, found without running it."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence

from mclu_shell.command import Command
from mclu_shell.errors import MCluError, UsageError
from mclu_shell.language.parser import Line
from mclu_shell.language.script import Script

# Scripts within scripts: each takes some of Python's stack.
_DEEPEST = 30


class Check:
    """Looks through a script and those that it runs.

    `prepare` finds a line's command and arguments; `above` are the places of the scripts that run, and of this one.
    """

    def __init__(self, prepare: Callable[[Line], tuple[Command, argparse.Namespace]], above: Sequence[str]) -> None:
        self._prepare = prepare
        self._above = list(above)
        # What is wrong with one is told once, however often it is run.
        self._checked: list[Script] = []

    def find_problems(
        self, script: Script, parts: Iterable[Line | UsageError], used_by: str = ""
    ) -> Iterator[MCluError]:
        """An error, with its place, for each line that is wrong; `used_by` is the place of the line that runs it."""
        for part in parts:
            if isinstance(part, UsageError):
                # What it was given may be what is wrong.
                yield _told_at(used_by, part) if used_by else part
                continue
            place = f"{script.name}:{part.number}"
            try:
                yield from self._find_in(part, place)
            except MCluError as error:
                yield _told_at(place, error)

    def _find_in(self, line: Line, place: str) -> Iterator[MCluError]:
        if line.shell:
            return
        command, args = self._prepare(line)
        if command.script is not None:
            yield from self._find_nested(command.script(args), place)

    def _find_nested(self, script: Script, used_by: str) -> Iterator[MCluError]:
        if not script.place:
            raise UsageError(f"{script.name} cannot be checked first and then run within a script: it is no file")
        if script.place in self._above:
            raise UsageError(f"{script.name} would run itself without end")
        if len(self._above) >= _DEEPEST:
            raise UsageError(f"{script.name} would run within {len(self._above)} others", remedy=f"at most {_DEEPEST}")
        if script not in self._checked:
            self._checked.append(script)
            self._above.append(script.place)
            yield from self.find_problems(script, script.parts(), used_by)
            self._above.pop()


def _told_at(place: str, error: MCluError) -> MCluError:
    return error.with_context(place=place, fact=f"{error.place}: {error.fact}" if error.place else error.fact)
