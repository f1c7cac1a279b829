"""Aliases: first words that are replaced by the text of one or several commands."""

import shlex
from collections.abc import Iterable, Iterator, Mapping

from mclu_shell.language import parser
from mclu_shell.language.line import Line
from mclu_shell.user_paths import expand_home


def expand(line: Line, aliases: Mapping[str, str], used: frozenset[str] = frozenset()) -> Iterator[Line]:
    """Yield the commands of a line after expansion; the words that follow an alias go to its last command.

    An alias may use other aliases. Within its own text its name means the command, as in `alias list='list --active'`.
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
    """Return the last command of an alias with the arguments, pipe and redirection of the line that uses it."""
    program = last.shell or last.pipe
    if not program:
        words = (*last.words, *line.words[1:])
        target = line if line.pipe or line.output else last
        return last._replace(words=words, pipe=target.pipe, output=target.output, append=target.append)
    program = " ".join([program, *map(shlex.quote, line.words[1:]), *_redirection(line)])
    return last._replace(shell=program) if last.shell else last._replace(pipe=program)


def _redirection(line: Line) -> Iterable[str]:
    """Yield the pipe and the redirection of a line in sh's syntax."""
    if line.pipe:
        yield f"| {line.pipe}"
    if line.output:
        yield f"{'>>' if line.append else '>'} {shlex.quote(expand_home(line.output))}"
