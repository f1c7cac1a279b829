"""Forget aliases.

Those of ~/.config/mclu/mclurc are there again in the next shell.

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
    """Their names."""
    parser.add_argument("names", nargs="+", metavar="NAME", type=types.ALIAS, help="alias to forget")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Nothing, unless there is none of a name."""
    assert context.prompt is not None
    known = context.prompt.aliases
    for name in args.names:
        if known.pop(name, None) is None:
            yield NotFound(f"no such alias {name!r}", remedy=did_you_mean(name, sorted(known)))
