"""Show or change settings of the interactive shell.

Settings:
  alerts  on|off: report nodes and guests that go away unexpectedly

Settings last until you leave the shell. To keep them, put the 'set' commands into ~/.config/mclu/mclurc, which the
shell runs when it starts.

Examples:
  set
  set alerts off
"""

import argparse
from collections.abc import Iterator
from functools import partial

from mclu_shell.argtypes.types import choice
from mclu_shell.command import Context, Group, Parser
from mclu_shell.output.results import Result, Text
from mclu_shell.output.schema.shell_state import Setting

GROUP = Group.SHELL
NEEDS_PROMPT = True
DOCUMENT = ("settings",)


def add_arguments(parser: Parser) -> None:
    """Add the setting's name and value."""
    parser.add_argument("name", nargs="?", metavar="NAME", type=choice("alerts"), help="setting (default: show all)")
    parser.add_argument(
        "value", nargs="?", metavar="VALUE", type=choice("on", "off"), help="new value, such as on or off"
    )


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Change a setting, or yield a line per setting."""
    assert context.prompt is not None
    settings = context.prompt.settings
    if args.value is not None:
        settings[args.name] = args.value
        return
    for name in [args.name] if args.name else sorted(settings):
        yield Text(f"{name} {settings[name]}", data=partial(Setting, name, settings[name]))
