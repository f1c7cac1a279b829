"""Show the lines entered at the prompt, or make a script.

All your shells save to one file. Lines of another open shell appear when you start the next one. Ctrl-R searches while
you type. Lines that begin with a blank are not saved, and 'history' commands are not shown.

--script prints the commands that ran at this prompt as a script, with aliases expanded. Commands about the shell
itself, such as help, are left out. Commands that failed, were interrupted or declined become comments. A script does
not ask before it destroys guests: see 'help destroy'.

Examples:
  history                       all lines
  history 20                    the last 20 lines
  history boot tiny             lines that contain both words
  history --script > lab.mclu   the commands of this session as a script
  history --script 5            the last 5 commands
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial

from mclu_shell.command import Context, Group, LoggedCommand, Parser
from mclu_shell.language.unparse import unparse
from mclu_shell.output.results import Result, Text
from mclu_shell.output.schema.shell_state import Entered

GROUP = Group.SHELL
NEEDS_PROMPT = True
DOCUMENT = ("lines",)


def add_arguments(parser: Parser) -> None:
    """Add the number of lines or the words to search for, and --script."""
    parser.add_argument(
        "words", nargs="*", metavar="N|TEXT", help="number of lines, or text to search for (default: all lines)"
    )
    parser.add_argument("--script", action="store_true", help="print the commands of this prompt as a script")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield the selected lines as entered, or as a script."""
    assert context.prompt is not None
    if args.script:
        lines = ["#!/usr/bin/env mclu", *_selected(_script(context.prompt.commands()), args.words)]
    else:
        # A search would always match its own line.
        entered = [line for line in context.prompt.history() if line.split()[:1] != ["history"]]
        lines = _selected(entered, args.words)
    yield from (Text(line, data=partial(Entered, line)) for line in lines)


def _script(commands: Sequence[LoggedCommand]) -> list[str]:
    """Return one text per command; a text may have several lines."""
    return [_in_script(unparse(command.line), command.why_not) for command in commands]


def _in_script(text: str, why_not: str) -> str:
    if not text:
        return "# left out: a command that a script cannot contain"
    return "\n".join(f"# {line}" for line in f"{why_not}: {text}".split("\n")) if why_not else text


def _selected(lines: list[str], words: list[str]) -> list[str]:
    if len(words) == 1 and words[0].isdecimal():
        return lines[max(0, len(lines) - int(words[0])) :]
    return [line for line in lines if all(word in line for word in words)]
