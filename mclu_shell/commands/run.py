"""Run a script.

All of it is checked before its first command runs. Its arguments are $1 to $9, $@ and $#; NAME=value is ${NAME} there.

  run morning.mclu
  run lab.mclu test 3 TEMPLATE=tiny
"""

import argparse
from collections.abc import Iterator

from mclu_shell.argtypes import types
from mclu_shell.command import Context, Group, Parser
from mclu_shell.language.script import Script, read_script
from mclu_shell.output.results import Result

GROUP = Group.SHELL
LINES = ()


def add_arguments(parser: Parser) -> None:
    """The file, and what it is given."""
    parser.add_argument("file", metavar="FILE", type=types.FILE, help="script, or - for standard input")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARG", help="argument, or NAME=value")


def script(args: argparse.Namespace) -> Script:
    """The script that a line runs."""
    return read_script(str(args.file), args.arguments)


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """The session runs it."""
    yield script(args)
