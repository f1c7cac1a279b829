"""List all commands, or explain some of them.

COMMAND --help shows the same as help COMMAND.

Examples:
  help
  help status
"""

import argparse
from collections.abc import Iterator
from functools import partial
from shutil import get_terminal_size

from mclu_shell import command_loader
from mclu_shell.argtypes.types import ArgType, Candidate
from mclu_shell.command import Command, Context, Group, Parser, filled
from mclu_shell.output.results import Result, Row, Table, Text
from mclu_shell.output.schema.help import Argument, CommandRecord
from mclu_shell.output.schema.shell_state import Alias

GROUP = Group.SHELL
DOCUMENT = ("commands", "aliases")

_COMMAND = ArgType(str, lambda _snapshot: [Candidate(name) for name in command_loader.command_names()])
_MORE = """
'help COMMAND' explains a command, with examples. Names of nodes and guests may contain wildcards: off 'ham*'

';' separates commands. COMMAND | PROGRAM, COMMAND > FILE and !PROGRAM work as in your own shell."""


def add_arguments(parser: Parser) -> None:
    """Add the commands to explain; none means all."""
    parser.add_argument("commands", nargs="*", metavar="COMMAND", type=_COMMAND, help="command to explain")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per command, by group; or the full help of the named commands."""
    if not args.commands:
        yield from _overview()
    aliases = context.prompt.aliases if context.prompt else {}
    for name in args.commands:
        if name in aliases:
            yield Text(f"{name} is an alias of {aliases[name]!r}", data=partial(Alias, name, aliases[name]))
        if name not in aliases or name in command_loader.command_names():
            command = command_loader.load_command(name, aliases)
            yield Text(command.parser().format_help().rstrip(), data=partial(_record, command))


def _overview() -> Iterator[Result]:
    loaded = [command_loader.load_command(name) for name in command_loader.command_names()]
    width = max(len(command.name) for command in loaded)
    for group in Group:
        rows = tuple(_row(command, width) for command in loaded if command.group is group)
        if rows:
            yield Text(f"{group}:")
            yield Table(rows)
    yield Text(filled(_MORE, get_terminal_size().columns))


def _row(command: Command, width: int) -> Row:
    return Row((f"  {command.name.ljust(width)}", command.summary), data=partial(_record, command))


def _record(command: Command) -> CommandRecord:
    parser = command.parser()
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    arguments = tuple(map(_argument, parser.arguments))
    return CommandRecord(command.name, command.group, command.summary, command.about.strip(), usage, arguments)


def _argument(action: argparse.Action) -> Argument:
    value = None if action.nargs == 0 else str(action.metavar)
    return Argument(tuple(action.option_strings), value, action.help or "")
