"""Show what was entered at the prompt, the newest last.

All your shells share one history. What this one has entered comes last, as with the arrow keys; Ctrl-R searches while
you type. A line that begins with a blank is not kept. Lines that show the history are left out.

  history             all of it
  history 20          the last 20 lines
  history boot tiny   lines with these words in them
"""

import argparse
from collections.abc import Iterator
from functools import partial

from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import UsageError
from mclu_shell.records.prompt import Entered
from mclu_shell.results import Result, Text

GROUP = Group.SHELL
DOCUMENT = ("lines",)


def add_arguments(parser: Parser) -> None:
    """How much of it, or what to look for."""
    parser.add_argument("wanted", nargs="*", metavar="N|TEXT", help="how many, or what to look for (default: all)")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """The lines, as they were entered."""
    if context.prompt is None:
        raise UsageError("history: only the interactive shell has one")
    # Else a search would always find itself.
    lines = [line for line in context.prompt.history() if line.split()[0] != "history"]
    yield from (Text(line, data=partial(Entered, line)) for line in _wanted(lines, args.wanted))


def _wanted(lines: list[str], words: list[str]) -> list[str]:
    if len(words) == 1 and words[0].isdecimal():
        return lines[max(0, len(lines) - int(words[0])) :]
    return [line for line in lines if all(word in line for word in words)]
