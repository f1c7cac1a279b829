"""Show or change how the interactive shell behaves.

alerts: whether nodes and guests that go away by themselves are told above the prompt. What is to hold in every
shell belongs into its start-up file, ~/.config/mclu/mclurc.

  set
  set alerts off
"""

import argparse
from collections.abc import Iterator
from functools import partial

from mclu_shell.argtypes.types import word_kind
from mclu_shell.command import Context, Group, Parser
from mclu_shell.output.results import Result, Text
from mclu_shell.output.schema.shell_state import Setting

GROUP = Group.SHELL
NEEDS_PROMPT = True
DOCUMENT = ("settings",)


def add_arguments(parser: Parser) -> None:
    """What, and to what."""
    parser.add_argument("name", nargs="?", metavar="NAME", type=word_kind("alerts"), help="what to set: alerts")
    parser.add_argument("value", nargs="?", metavar="VALUE", type=word_kind("on", "off"), help="on or off")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line per setting that is shown."""
    assert context.prompt is not None
    settings = context.prompt.settings
    if args.value is not None:
        settings[args.name] = args.value
        return
    for name in [args.name] if args.name else sorted(settings):
        yield Text(f"{name} {settings[name]}", data=partial(Setting, name, settings[name]))
