"""Show what was entered at the prompt, the newest last; or make a script of it.

All your shells share one history. What this one has entered comes last, as with the arrow keys; Ctrl-R searches while
you type. A line that begins with a blank is not kept. Lines that show the history are left out.

--script shows what was run at this prompt as a script, with what aliases stood for; commands about the shell itself,
such as help, are left out. What has failed, or was interrupted or declined, is there as a comment. A script asks
nothing: see 'help destroy'.

  history                       all of it
  history 20                    the last 20 lines
  history boot tiny             lines with these words in them
  history --script > lab.mclu   what was done here, as a script
  history --script 5            the last 5 commands
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial

from mclu_shell.command import Context, Group, Parser, Ran
from mclu_shell.language.unparse import written
from mclu_shell.output.results import Result, Text
from mclu_shell.output.schema.shell_state import Entered

GROUP = Group.SHELL
NEEDS_PROMPT = True
DOCUMENT = ("lines",)


def add_arguments(parser: Parser) -> None:
    """How much of it, or what to look for."""
    parser.add_argument("wanted", nargs="*", metavar="N|TEXT", help="how many, or what to look for (default: all)")
    parser.add_argument("--script", action="store_true", help="what was run at this prompt, as a script")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """The lines, as they were entered."""
    assert context.prompt is not None
    if args.script:
        lines = ["#!/usr/bin/env mclu", *_wanted(_script(context.prompt.ran()), args.wanted)]
    else:
        # Else a search would always find itself.
        entered = [line for line in context.prompt.history() if line.split()[:1] != ["history"]]
        lines = _wanted(entered, args.wanted)
    yield from (Text(line, data=partial(Entered, line)) for line in lines)


def _script(ran: Sequence[Ran]) -> list[str]:
    """A text for each command; it may have several lines."""
    return [_in_script(written(one.line), one.why_not) for one in ran]


def _in_script(text: str, why_not: str) -> str:
    if not text:
        return "# left out: a command that no script can have"
    return "\n".join(f"# {line}" for line in f"{why_not}: {text}".split("\n")) if why_not else text


def _wanted(lines: list[str], words: list[str]) -> list[str]:
    if len(words) == 1 and words[0].isdecimal():
        return lines[max(0, len(lines) - int(words[0])) :]
    return [line for line in lines if all(word in line for word in words)]
