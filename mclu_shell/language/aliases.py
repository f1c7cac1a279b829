"""Aliases: a command's first word may stand for a whole text of the language."""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping

from mclu_shell.language import parser
from mclu_shell.language.line import Line


def expand(line: Line, aliases: Mapping[str, str], used: frozenset[str] = frozenset()) -> Iterator[Line]:
    """The commands that a line stands for; what follows an alias goes to the last of them.

    An alias may use others; within itself its name means the command, so that `alias list='list --active'` is sound.
    """
    name = line.words[0] if line.words else ""
    if name in used or name not in aliases:
        yield line
        return
    *first, last = parser.parse(aliases[name])
    for part in (*first, _continued(last, line)):
        part = part._replace(number=line.number, may_fail=part.may_fail or line.may_fail)
        yield from expand(part, aliases, used | {name})


def _continued(last: Line, line: Line) -> Line:
    """The last command of an alias, with the arguments, the pipe and the redirection of the line that uses it."""
    program = last.shell or last.pipe
    if not program:
        words = (*last.words, *line.words[1:])
        wanted = line if line.pipe or line.output else last
        return last._replace(words=words, pipe=wanted.pipe, output=wanted.output, append=wanted.append)
    program = " ".join([program, *map(shlex.quote, line.words[1:]), *_onward(line)])
    return last._replace(shell=program) if last.shell else last._replace(pipe=program)


def _onward(line: Line) -> Iterable[str]:
    """Where the output of the user's own shell is to go, in its words."""
    if line.pipe:
        yield f"| {line.pipe}"
    if line.output:
        yield f"{'>>' if line.append else '>'} {shlex.quote(os.path.expanduser(line.output))}"  # noqa: PTH111
