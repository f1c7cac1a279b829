"""Define aliases, or show them.

An alias stands for a whole line: a command with its options, or several commands. Words after the alias are appended.
Aliases work at the prompt only, not in scripts or -c. They last until you leave the shell. To keep them, put the
'alias' commands into ~/.config/mclu/mclurc, which the shell runs when it starts. Without arguments, all are shown.

Examples:
  alias st=status                     then 'st ham1' is 'status ham1'
  alias up="on 'ham*' --wait; list"
  alias ll='!ls -l'                   a command of your own shell
"""

import argparse
import re
import shlex
from collections.abc import Iterator
from functools import partial

from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import NotFound, UsageError, did_you_mean
from mclu_shell.language import parser
from mclu_shell.output.results import Result, Text
from mclu_shell.output.schema.shell_state import Alias

GROUP = Group.SHELL
NEEDS_PROMPT = True
DOCUMENT = ("aliases",)

# Only characters without a meaning in the language.
_NAME = re.compile(r"[\w.+][\w.+-]*")


def add_arguments(parser: Parser) -> None:
    """Add the definitions, or names to show."""
    parser.add_argument(
        "aliases", nargs="*", metavar="NAME[='TEXT']", help="alias to define or to show (default: show all)"
    )


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Define aliases, or yield each as a line that defines it."""
    assert context.prompt is not None
    aliases = context.prompt.aliases
    for argument in args.aliases or sorted(aliases):
        name, is_definition, text = argument.partition("=")
        if is_definition:
            aliases[name] = _checked(name, text)
        elif name in aliases:
            yield Text(f"alias {name}={shlex.quote(aliases[name])}", data=partial(Alias, name, aliases[name]))
        else:
            yield NotFound(f"no such alias {name!r}", remedy=did_you_mean(name, sorted(aliases)))


def _checked(name: str, text: str) -> str:
    """Return the text; raise UsageError if the name or the text is invalid."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"bad alias name {name!r}", remedy="write NAME='TEXT', without blanks around the =")
    try:
        lines = parser.parse(text)
    except UsageError as error:
        raise UsageError(f"alias {name}: {error}") from error
    if not lines:
        raise UsageError(f"alias {name}: the text is empty", remedy=f"'unalias {name}' removes the alias")
    return text
