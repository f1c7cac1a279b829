"""Commands: their records, their argument parser, and the context that they run in."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

from mclu_shell.argument_parser import MAX_WIDTH, ArgumentParser
from mclu_shell.errors import Question, UsageError, did_you_mean
from mclu_shell.global_options import global_parser
from mclu_shell.language.line import Line
from mclu_shell.language.script import Script
from mclu_shell.output.results import Result

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud
    from mclu_shell.cloud.concurrency.fanout import Outcome
    from mclu_shell.cloud.dryrun.cloud import DryRunCloud
    from mclu_shell.cloud.nodes.node import Node

Value = TypeVar("Value")


class Group(StrEnum):
    """The categories of `help`, in its order; a command's module names its own as GROUP."""

    LOOK = "See what there is"
    NODES = "Switch nodes on and off"
    MAKE = "Make and delete guests"
    RUN = "Start and stop guests"
    REACH = "Get into a guest"
    SHELL = "Work with mclu itself"
    # The default.
    MORE = "More"


class LoggedCommand(NamedTuple):
    """A command that was run at the prompt; `why_not` says why a script should not repeat it, or is empty."""

    line: Line
    why_not: str = ""


class Prompt(NamedTuple):
    """The state of the interactive shell, for the commands that show or change it."""

    # The entered lines, the oldest first.
    history: Callable[[], list[str]]
    # The text of each alias by its name; `alias` and `unalias` change it.
    aliases: dict[str, str]
    # The settings of `set`.
    settings: dict[str, str]
    # The commands that were run at this prompt, in order, without those about the shell itself.
    commands: Callable[[], Sequence[LoggedCommand]]


def _no_config() -> None:
    return None


class Context(NamedTuple):
    """The environment of a command. The cloud opens on first use, so `help` needs no configuration."""

    open_cloud: Callable[[], "Cloud"]
    # Shows progress in a few words; a terminal shows it until the next output.
    notify: Callable[[str], None]
    # Asks a yes-or-no question; None without a user at a terminal, and in scripts.
    confirm: Callable[[str], bool] | None = None
    # None outside the interactive shell.
    prompt: Prompt | None = None
    # None outside a dry run.
    open_dry_run_cloud: Callable[[], "DryRunCloud"] | None = None
    # True if the output is for a program (-o json).
    is_data: bool = False
    # Returns the file that `init` writes; None if there is none, as with --demo.
    find_config: Callable[[], Path | None] = _no_config
    # Shows a question of ssh and returns the reply; None without a user at a terminal, and in scripts.
    ask: Callable[[Question], str | None] | None = None
    # True if the output is a terminal that shows headings and colour.
    is_styled: bool = False

    @property
    def cloud(self) -> "Cloud":
        """The cloud of this session."""
        return self.open_cloud()

    def query_in_order(
        self, fn: Callable[["Node"], Value], nodes: "Sequence[Node] | None" = None
    ) -> "Iterator[Outcome[Node, Value]]":
        """Query nodes as `Cloud.query_in_order`; the progress names the node that is waited for."""
        targets = self.cloud.nodes if nodes is None else nodes
        # Without nodes no configuration is needed.
        outcomes = self.cloud.query_in_order(fn, targets) if targets else iter(())
        for node in targets:
            self.notify(f"waiting for {node.name}")
            yield next(outcomes)

    @property
    def dry_run_cloud(self) -> "DryRunCloud":
        """The cloud as the earlier lines of a dry run would have left it; nothing is changed."""
        assert self.open_dry_run_cloud is not None
        return self.open_dry_run_cloud()

    def require_text(self, what: str) -> None:
        """Raise UsageError if the output is for a program: a guest's console output is not JSON."""
        if self.is_data:
            raise UsageError(f"{what}: a guest's output is not JSON", remedy="leave out -o json")


class Command(NamedTuple):
    """A command. Its module's docstring is its help; `run` yields results and errors as they occur."""

    name: str
    about: str
    add_arguments: Callable[["Parser"], None]
    run: Callable[[Context, argparse.Namespace], Iterable[Result]]
    group: Group = Group.MORE
    # Returns the script that the command runs, if it runs one.
    script: Callable[[argparse.Namespace], Script] | None = None
    # Replaces `run` in a dry run if the command changes something: yields its plan and the same errors.
    dry_run: Callable[[Context, argparse.Namespace], Iterable[Result]] | None = None
    # The JSON output: a query has one document of these lists (`PLURAL` of records); an action has no document, but a
    # line per event (`KIND` of records).
    document: tuple[str, ...] | None = None
    lines: tuple[str, ...] = ()
    # True if the command works only in the interactive shell.
    needs_prompt: bool = False

    @property
    def summary(self) -> str:
        """The first line of the help."""
        return self.about.strip().partition("\n")[0]

    def parser(self) -> "Parser":
        """Return the parser of the command's arguments."""
        return _parser_of(self)


# With the cache, the check of a script of 50,000 lines takes a fifth of the time.
@cache
def _parser_of(command: Command) -> "Parser":
    parser = Parser(command.name, command.about)
    command.add_arguments(parser)
    return parser


class HelpRequested(Exception):
    """Raised when `--help` is among the arguments."""


class _ShowHelp(argparse.Action):
    def __call__(self, *_given: Any, **_options: Any) -> None:
        raise HelpRequested


class _HelpFormatter(argparse.HelpFormatter):
    """argparse's formatter, with paragraphs as wide as the terminal, or 80 columns without one."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return filled(text, width - len(indent))


def filled(text: str, width: int) -> str:
    """Wrap paragraphs to a width; keep lines that begin with a blank, such as examples."""
    lines: list[str] = []
    paragraph: list[str] = []
    for line in (*text.split("\n"), ""):
        if line[:1].strip():
            paragraph.append(line)
            continue
        lines += wrap(" ".join(paragraph), min(width, MAX_WIDTH), break_long_words=False, break_on_hyphens=False)
        lines.append(line)
        paragraph = []
    return "\n".join(lines).rstrip()


class Parser(ArgumentParser):
    """The parser of a command's arguments."""

    def __init__(self, name: str, about: str) -> None:
        self._words: list[str] = []
        super().__init__(
            _HelpFormatter, remedy=f"see 'help {name}'", prog=name, description=about.strip(), add_help=False
        )
        self.add_argument("-h", "--help", action=_ShowHelp, nargs=0, help="show this help")

    def error(self, message: str) -> NoReturn:
        """Raise UsageError; for an unknown option, the remedy lists similar ones."""
        if "arguments are required" in message and (unknown := self._unknown_options()):
            # argparse reports a missing argument, but the mistyped option is the cause.
            message = f"unrecognized arguments: {unknown[0]}"
        prefix, _, words = message.partition("unrecognized arguments: ")
        remedy = self._remedy_for(words.split()[0]) if words.strip() and not prefix else self._remedy
        raise UsageError(f"{self.prog}: {message}", remedy=remedy)

    def _unknown_options(self) -> list[str]:
        names = set(self.option_names)
        words = self._words[: self._words.index("--")] if "--" in self._words else self._words
        return [word for word in words if word.startswith("-") and word.partition("=")[0] not in names]

    def _remedy_for(self, word: str) -> str:
        """Return the remedy for an argument that the command does not have."""
        name = word.partition("=")[0]
        if name in global_parser().option_names:
            return f"write it before the command: 'mclu {name} …'"
        # A word with a blank is text rather than an option.
        is_text = any(" " in word and word[:2] != "--" for word in self._unknown_options())
        hint = "write '--' before text that begins with '-'; " if is_text else ""
        return did_you_mean(word, self.option_names) or f"{hint}{self._remedy}"

    def parse(self, words: list[str]) -> argparse.Namespace:
        """Return the arguments of a line; raise UsageError."""
        self._words = words
        with_blank = [word for word in self._unknown_options() if " " in word]
        # argparse takes an option with a blank in it for a positional argument. The arguments of a script may be any.
        if with_blank and all(action.nargs != argparse.REMAINDER for action in self.arguments):
            self.error(f"unrecognized arguments: {with_blank[0]}")
        return self.parse_args(self._with_default_values(words))

    def _with_default_values(self, words: list[str]) -> list[str]:
        """Return `--wait ham1` as `--wait=300 ham1`: argparse takes any word for an option's optional value."""
        optional = {name: action for action in self.arguments if action.nargs == "?" for name in action.option_strings}
        completed = list(words)
        for i, word in enumerate(words):
            if word in optional and i + 1 < len(words) and not _is_value(optional[word], words[i + 1]):
                completed[i] = f"{word}={optional[word].const}"
        return completed


def _is_value(action: argparse.Action, word: str) -> bool:
    try:
        if callable(action.type):
            action.type(word)
    except (ValueError, TypeError, argparse.ArgumentTypeError):
        return False
    return True
