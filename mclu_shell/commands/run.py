"""Run a script.

The whole script is checked before its first command runs. The arguments are $1 to $9, $@ and $# in the script;
NAME=value sets ${NAME}, except after --.

Examples:
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
    """Add the file and its arguments."""
    parser.add_argument("file", metavar="FILE", type=types.FILE, help="script file, or - for standard input")
    rest = parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARG", help="argument, or NAME=value")
    # argparse would list ARG as required if FILE is missing.
    rest.required = False


def script(args: argparse.Namespace) -> Script:
    """Return the script that the command line names."""
    return read_script(str(args.file), args.arguments)


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield the script, which the session runs."""
    yield script(args)
