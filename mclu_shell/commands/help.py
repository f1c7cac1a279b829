"""Explain the commands, or one of them.

help
help status
"""

import argparse
from collections.abc import Iterator

from mclu_shell import commands
from mclu_shell.command import Context, Parser
from mclu_shell.kinds import Candidate, Kind
from mclu_shell.results import Result, Row, Table, Text

_COMMAND = Kind(str, lambda _snapshot: [Candidate(name) for name in commands.command_names()])


def add_arguments(parser: Parser) -> None:
    """Commands, if not all are meant."""
    parser.add_argument("commands", nargs="*", metavar="COMMAND", type=_COMMAND, help="command to explain")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line per command, or the whole help of those named."""
    if not args.commands:
        loaded = [commands.load_command(name) for name in commands.command_names()]
        yield Table(tuple(Row((command.name, command.summary)) for command in loaded))
        yield Text("\n'help COMMAND' explains one. Nodes and guests may be named with wildcards: off 'ham*'")
    for name in args.commands:
        yield Text(commands.load_command(name).parser().format_help().rstrip())
