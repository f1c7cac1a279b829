"""Leave the shell, or end a script here. Ctrl-D does the same, and so does 'exit'.

One leaves with the status of the command before.

  status; quit
"""

import argparse
from collections.abc import Iterator

from mclu_shell.command import Context, Group, Parser
from mclu_shell.output.results import Quit, Result

GROUP = Group.SHELL
LINES = ()


def add_arguments(parser: Parser) -> None:
    """None."""


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Say that nothing more is to be run."""
    yield Quit()
