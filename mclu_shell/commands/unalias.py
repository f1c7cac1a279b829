"""Remove aliases.

Aliases from ~/.config/mclu/mclurc are back in the next shell.

Examples:
  unalias st
"""

import argparse
from collections.abc import Iterator

from mclu_shell.argtypes import types
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import NotFound, did_you_mean
from mclu_shell.output.results import Result

GROUP = Group.SHELL
NEEDS_PROMPT = True
LINES = ()


def add_arguments(parser: Parser) -> None:
    """Add the names."""
    parser.add_argument("names", nargs="+", metavar="NAME", type=types.ALIAS, help="alias to remove")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Remove the aliases; yield NotFound for each that does not exist."""
    assert context.prompt is not None
    aliases = context.prompt.aliases
    for name in args.names:
        if aliases.pop(name, None) is None:
            yield NotFound(f"no such alias {name!r}", remedy=did_you_mean(name, sorted(aliases)))
