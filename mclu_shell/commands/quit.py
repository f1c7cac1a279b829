"""Leave the shell, or end a script.

Ctrl-D and 'exit' do the same. The exit status is that of the previous command.

Examples:
  status; quit
"""

import argparse
from collections.abc import Iterator

from mclu_shell.command import Context, Group, Parser
from mclu_shell.output.results import Quit, Result

GROUP = Group.SHELL
LINES = ()


def add_arguments(parser: Parser) -> None:
    """Add nothing: there are no arguments."""


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield Quit, which ends the session."""
    yield Quit()
