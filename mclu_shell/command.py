"""What a command is: its options, what it does, and what it is given to do it with."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

from mclu_shell.errors import UsageError, did_you_mean
from mclu_shell.language.parser import Line
from mclu_shell.language.script import Script
from mclu_shell.output.results import Result

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud
    from mclu_shell.cloud.dryrun.cloud import DryRunCloud

# Longer lines are hard to read, however wide a terminal is.
_WIDEST = 118
# Options of mclu itself (cli.py), which one may look for behind a command, too.
_OF_MCLU = (
    *("-f", "--config-file", "-c", "-n", "--dry-run", "--check", "-k", "--keep-going", "-v", "--verbose"),
    *("--demo", "-o", "--output", "--color", "--install-completion", "-V", "--version"),
)


class Group(StrEnum):
    """What one wants to do, in the order in which `help` goes through it; a command's module has one as GROUP."""

    LOOK = "See what there is"
    NODES = "Switch nodes on and off"
    MAKE = "Make and delete guests"
    RUN = "Start and stop guests"
    REACH = "Get into a guest"
    SHELL = "Work with mclu itself"
    # Of a module that says nothing.
    MORE = "More"


class Ran(NamedTuple):
    """A command that was run at the prompt, and why it is not to be run again; empty where it has done what it says."""

    line: Line
    why_not: str = ""


class Prompt(NamedTuple):
    """What the interactive shell alone has, for the commands that are about it."""

    # What was entered, the oldest line first.
    history: Callable[[], list[str]]
    # Texts of the language, by the name that stands for each; `alias` and `unalias` change it.
    aliases: dict[str, str]
    # What `set` sets.
    settings: dict[str, str]
    # What was run at this prompt, in that order, but for commands about the shell itself.
    ran: Callable[[], Sequence[Ran]]


class Context(NamedTuple):
    """What a command may use; the cloud is opened on first use, so that `help` needs no configuration."""

    open_cloud: Callable[[], "Cloud"]
    # Says in a few words what is being waited for; shown on a terminal until the next answer.
    notify: Callable[[str], None]
    # Asks a yes-or-no question; None where nobody is there to answer: anywhere but at the prompt.
    confirm: Callable[[str], bool] | None = None
    # None anywhere but at the prompt.
    prompt: Prompt | None = None
    # None but in a dry run.
    open_dry_run_cloud: Callable[[], "DryRunCloud"] | None = None
    # Whether the answer is for a program (-o json).
    is_data: bool = False

    @property
    def cloud(self) -> "Cloud":
        """The cloud of this session."""
        return self.open_cloud()

    @property
    def dry_run_cloud(self) -> "DryRunCloud":
        """The cloud of a dry run: what it has so far is kept in mind, and nothing is changed."""
        assert self.open_dry_run_cloud is not None
        return self.open_dry_run_cloud()

    def require_text(self, what: str) -> None:
        """Raise if the answer is for a program, which could not tell what a guest writes from the rest."""
        if self.is_data:
            raise UsageError(f"{what}: what a guest writes is not JSON", remedy="leave out -o json")


class Command(NamedTuple):
    """A command: its module's docstring is its help; `run` yields results and errors as they come."""

    name: str
    about: str
    add_arguments: Callable[["Parser"], None]
    run: Callable[[Context, argparse.Namespace], Iterable[Result]]
    group: Group = Group.MORE
    # The script that a line runs, where it does.
    script: Callable[[argparse.Namespace], Script] | None = None
    # What it does in a dry run, where it would change something: it tells what, and has the same errors.
    dry_run: Callable[[Context, argparse.Namespace], Iterable[Result]] | None = None
    # What it tells a program (`PLURAL` or `KIND` of records): all together, where it answers a question; or, where
    # there is no such document, one by one as things happen.
    document: tuple[str, ...] | None = None
    lines: tuple[str, ...] = ()
    # Whether it is about what the interactive shell alone has.
    needs_prompt: bool = False

    @property
    def summary(self) -> str:
        """The first line of its help."""
        return self.about.strip().partition("\n")[0]

    def parser(self) -> "Parser":
        """The parser of its arguments."""
        return _parser_of(self)


# A script of 50,000 lines is checked in a fifth of the time that as many parsers would take.
@cache
def _parser_of(command: Command) -> "Parser":
    parser = Parser(command.name, command.about)
    command.add_arguments(parser)
    return parser


class HelpAsked(Exception):
    """`--help` stands among the arguments."""


_Action = TypeVar("_Action", bound=argparse.Action)


class _ShowHelp(argparse.Action):
    def __call__(self, *_given: Any, **_options: Any) -> None:
        raise HelpAsked


class _HelpFormatter(argparse.HelpFormatter):
    """argparse's, which is as wide as the terminal, or 80 where there is none."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return filled(text, width - len(indent))


def filled(text: str, width: int) -> str:
    """Paragraphs in lines that fit a width; those that begin with a blank, such as examples, are kept as they are."""
    # Only help needs it.
    from textwrap import wrap

    lines: list[str] = []
    paragraph: list[str] = []
    for line in (*text.split("\n"), ""):
        if line[:1].strip():
            paragraph.append(line)
            continue
        lines += wrap(" ".join(paragraph), min(width, _WIDEST), break_long_words=False, break_on_hyphens=False)
        lines.append(line)
        paragraph = []
    return "\n".join(lines).rstrip()


class Parser(argparse.ArgumentParser):
    """argparse that raises UsageError and HelpAsked instead of ending the program."""

    def __init__(self, name: str, about: str) -> None:
        # argparse calls add_argument before its own constructor is through.
        self.arguments: list[argparse.Action] = []
        self._words: list[str] = []
        super().__init__(
            prog=name,
            description=about.strip(),
            # argparse makes one for each argument that is added; to know how wide the terminal is, it would import
            # shutil, with all its compressors.
            formatter_class=partial(_HelpFormatter, width=_WIDEST),
            add_help=False,
            allow_abbrev=False,
        )
        self.add_argument("-h", "--help", action=_ShowHelp, nargs=0, help="show this help")

    def _add_action(self, action: _Action) -> _Action:
        # Also what a group adds comes by here; completion reads the list.
        self.arguments.append(action)
        return super()._add_action(action)

    def format_help(self) -> str:
        """Help that is as wide as the terminal."""
        self.formatter_class = _HelpFormatter
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Raise UsageError, with near misses for an unknown option."""
        if "arguments are required" in message and (unknown := self._unknown_options()):
            # argparse has taken it for an option, and misses what it was meant to be.
            message = f"unrecognized arguments: {unknown[0]}"
        raise UsageError(f"{self.prog}: {message}", remedy=self._remedy(message))

    def _unknown_options(self) -> list[str]:
        known = {name for action in self.arguments for name in action.option_strings}
        given = self._words[: self._words.index("--")] if "--" in self._words else self._words
        return [word for word in given if word.startswith("-") and word.partition("=")[0] not in known]

    def _remedy(self, message: str) -> str:
        unknown, _, option = message.partition("unrecognized arguments: ")
        known = [name for action in self.arguments for name in action.option_strings]
        if not unknown and (name := option.partition(" ")[0].partition("=")[0]) in _OF_MCLU:
            return f"it stands before the command: 'mclu {name} …'"
        # With a blank it is text more likely than an option.
        is_text = any(" " in word and word[:2] != "--" for word in self._unknown_options())
        hint = "text that begins with '-' comes after '--'; " if option and is_text else ""
        return (
            did_you_mean(option.split()[0], known) if option and not unknown else ""
        ) or f"{hint}see 'help {self.prog}'"

    def parse(self, words: list[str]) -> argparse.Namespace:
        """The arguments of a line, or UsageError."""
        self._words = words
        blank = [word for word in self._unknown_options() if " " in word]
        # argparse would take it for an argument: to it, what has a blank is no option. What a script is given may be
        # anything.
        if blank and all(action.nargs != argparse.REMAINDER for action in self.arguments):
            self.error(f"unrecognized arguments: {blank[0]}")
        return self.parse_args(self._with_left_out_values(words))

    def _with_left_out_values(self, words: list[str]) -> list[str]:
        """`--wait ham1` as `--wait=300 ham1`: argparse takes any word for an option's optional value."""
        optional = {name: a for a in self.arguments if a.nargs == "?" for name in a.option_strings}
        given = list(words)
        for i, word in enumerate(words):
            if word in optional and i + 1 < len(words) and not _fits(optional[word], words[i + 1]):
                given[i] = f"{word}={optional[word].const}"
        return given


def _fits(action: argparse.Action, word: str) -> bool:
    try:
        if callable(action.type):
            action.type(word)
    except (ValueError, TypeError, argparse.ArgumentTypeError):
        return False
    return True
