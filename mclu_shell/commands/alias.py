"""Let a word stand for a whole line: a command with its options, or several commands.

What follows the word is added at the end. Aliases are for the prompt only: scripts and -c do not know them. They are
forgotten when you leave, so put those that you want to keep into ~/.config/mclu/mclurc, a file of lines that the shell
runs when it starts. Without arguments, all aliases are shown.

  alias st=status                     then 'st ham1' is 'status ham1'
  alias up="on 'ham*' --wait; list"
  alias ll='!ls -l'                   a command of your own shell
"""

import argparse
import re
import shlex
from collections.abc import Iterator
from functools import partial

from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import NotFound, UsageError, did_you_mean
from mclu_shell.language import parser
from mclu_shell.output.results import Result, Text
from mclu_shell.output.schema.shell_state import Alias

GROUP = Group.SHELL
NEEDS_PROMPT = True
DOCUMENT = ("aliases",)

# Nothing that the language reads as anything but a word.
_NAME = re.compile(r"[\w.+][\w.+-]*")


def add_arguments(parser: Parser) -> None:
    """Definitions, or names to be shown."""
    parser.add_argument("aliases", nargs="*", metavar="NAME[='TEXT']", help="what to define, or to show (default: all)")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Nothing for what is defined; a line, as it could be typed, for what is to be shown."""
    assert context.prompt is not None
    known = context.prompt.aliases
    for given in args.aliases or sorted(known):
        name, is_definition, text = given.partition("=")
        if is_definition:
            known[name] = _checked(name, text)
        elif name in known:
            yield Text(f"alias {name}={shlex.quote(known[name])}", data=partial(Alias, name, known[name]))
        else:
            yield NotFound(f"no such alias {name!r}", remedy=did_you_mean(name, sorted(known)))


def _checked(name: str, text: str) -> str:
    """The text, if both can be used."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"bad alias {name!r}", remedy="it should be such as NAME='TEXT', with no blank beside the =")
    try:
        lines = parser.parse(text)
    except UsageError as error:
        raise UsageError(f"alias {name}: {error}") from error
    if not lines:
        raise UsageError(f"alias {name}: it would stand for nothing", remedy=f"'unalias {name}' forgets it")
    return text
