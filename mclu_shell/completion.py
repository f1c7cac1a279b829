"""What could stand at the cursor: from the text and the snapshot, without asking a node or running a template."""

import argparse
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from types import MappingProxyType
from typing import NamedTuple

from mclu_shell import command_loader
from mclu_shell.argtypes.completers import truncate
from mclu_shell.argtypes.types import ALIAS, FILE, TIMEZONE, ArgType, Candidate, CompletionContext
from mclu_shell.cloud.state.snapshot import Snapshot
from mclu_shell.command import Parser
from mclu_shell.errors import UsageError
from mclu_shell.language.aliases import expand
from mclu_shell.language.line import Line
from mclu_shell.language.tail import Tail, tail

# What `language` reads as it stands, wherever in a line; `~` means the home directory also inside quotes.
_PLAIN = re.compile(r"[\w@%+=:,./~-]+")

_NO_ALIASES: Mapping[str, str] = MappingProxyType({})


class Completions(NamedTuple):
    """What may replace the text from `start` to the cursor, quoted where it has to be."""

    start: int
    candidates: tuple[Candidate, ...]


def prepare() -> None:
    """Load what the first completion would have to wait for: all commands, and the names of time zones."""
    for command in _commands():
        _parser(command.text)
    tuple(TIMEZONE.complete(CompletionContext(Snapshot(()))))


def complete(text: str, snapshot: Snapshot, aliases: Mapping[str, str] = _NO_ALIASES) -> Completions:
    """The candidates for the last word of the text before the cursor; in another case only if none is in this.

    `aliases` are the prompt's, by their names.
    """
    end = tail(text)
    if end is None:
        return Completions(len(text), ())
    found = _found(end, CompletionContext(snapshot, end.word, aliases=aliases))
    return Completions(end.start, tuple(map(_quoted, found)))


def complete_words(words: Sequence[str], word: str, snapshot: Snapshot) -> Sequence[Candidate]:
    """The candidates for the word that follows others of a command, none of them quoted."""
    return _found(Tail(tuple(words), word, 0), CompletionContext(snapshot, word))


def _found(end: Tail, context: CompletionContext) -> Sequence[Candidate]:
    found = list(_candidates(end, context)) or list(_candidates(end, context._replace(any_case=True)))
    return truncate(found, lambda candidate: candidate.text)


def _quoted(found: Candidate) -> Candidate:
    text = found.text if _PLAIN.fullmatch(found.text) else shlex.quote(found.text)
    return found._replace(text=text, display=found.display or found.text)


def _candidates(end: Tail, context: CompletionContext) -> Iterable[Candidate]:
    if end.is_output:
        return _of(FILE, context)
    if not end.words:
        return _first_words(context)
    # What follows an alias goes to the last of the commands that it stands for; that may be the user's own.
    *_, meant = expand(Line(end.words), context.aliases)
    if meant.pipe or not meant.words or (parser := _parser(meant.words[0])) is None:
        return ()
    return _arguments(_ParsedWords(parser, meant.words[1:]), context)


def _first_words(context: CompletionContext) -> list[Candidate]:
    commands = [command for command in _commands() if command.text not in context.aliases]
    return _fitting(sorted([*commands, *ALIAS.complete(context)], key=lambda one: one.text), context)


def _arguments(given: "_ParsedWords", context: CompletionContext) -> Iterable[Candidate]:
    if context.word.startswith("-") and given.takes_options:
        return _value(given, context) if "=" in context.word else _fitting(given.free_options(), context)
    return [candidate for action in given.wanted() for candidate in _of_argument(action, given, context)]


def _value(given: "_ParsedWords", context: CompletionContext) -> Iterator[Candidate]:
    """The value of `--option=value`, as one word."""
    name, _, value = context.word.partition("=")
    action = given.options.get(name)
    if action is not None and action.nargs != 0:
        for found in _of_argument(action, given, context._replace(word=value)):
            yield found._replace(text=f"{name}={found.text}", display=found.display or found.text)


def _of_argument(action: argparse.Action, given: "_ParsedWords", context: CompletionContext) -> Iterable[Candidate]:
    if not isinstance(action.type, ArgType):
        return ()
    options = {dest: values[-1] for dest, values in given.values.items() if values}
    return _of(action.type, context._replace(previous=tuple(given.values.get(action.dest, ())), options=options))


def _of(kind: ArgType, context: CompletionContext) -> Iterable[Candidate]:
    return _fitting(kind.complete(context), context)


def _fitting(candidates: Iterable[Candidate], context: CompletionContext) -> list[Candidate]:
    return [candidate for candidate in candidates if context.fits(candidate.text)]


@cache
def _commands() -> tuple[Candidate, ...]:
    return tuple(Candidate(name, command_loader.load_command(name).summary) for name in command_loader.command_names())


@lru_cache(maxsize=100)
def _parser(name: str) -> Parser | None:
    # To know the commands, their directory is read: once is enough.
    try:
        return command_loader.load_command(name).parser()
    except UsageError:
        return None


class _ParsedWords:
    """The words of a command so far, each as the value of the argument that it is for."""

    def __init__(self, parser: Parser, words: Sequence[str]) -> None:
        self.options = {name: action for action in parser.arguments for name in action.option_strings}
        # The words by their argument's `dest`; none for an option that takes no value.
        self.values: dict[str, list[str]] = {}
        self._arguments = parser.arguments
        self._waiting: argparse.Action | None = None
        self._options_end = False
        for word in words:
            self._read(word)

    @property
    def takes_options(self) -> bool:
        """Whether an option can come next: not where one must have its value."""
        return not self._options_end and (self._waiting is None or self._waiting.nargs == "?")

    def wanted(self) -> list[argparse.Action]:
        """The arguments that the next word may be for: an option's value, and unless it must, that whose turn it is."""
        turn = self._turn() if self.takes_options or self._options_end else None
        return [action for action in (self._waiting, turn) if action is not None]

    def free_options(self) -> list[Candidate]:
        """The options that can still be given, by their long names; one of those that exclude each other is enough."""
        free = [action for action in self._arguments if action.option_strings and action.dest not in self.values]
        return [Candidate(action.option_strings[-1], action.help or "") for action in free]

    def _read(self, word: str) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and _can_have(waiting, word):
            self._put(waiting, word)
        elif word == "--" and not self._options_end:
            self._options_end = True
        elif word.startswith("-") and word != "-" and not self._options_end:
            self._read_option(word)
        elif (turn := self._turn()) is not None:
            self._put(turn, word)

    def _read_option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        action = self.options.get(name)
        if action is None:
            return
        self.values.setdefault(action.dest, [])
        if equals:
            self._put(action, value)
        elif action.nargs != 0:
            self._waiting = action

    def _put(self, action: argparse.Action, word: str) -> None:
        self.values.setdefault(action.dest, []).append(word)

    def _turn(self) -> argparse.Action | None:
        """The argument without a name that the next word is for."""
        positional = [action for action in self._arguments if not action.option_strings]
        turns = (action for action in positional if action.nargs in ("*", "+") or action.dest not in self.values)
        return next(turns, None)


def _can_have(action: argparse.Action, word: str) -> bool:
    """Whether a word is an option's value; where the value may be left out, it has to look like one."""
    if action.nargs != "?" or not isinstance(action.type, ArgType):
        return True
    try:
        action.type(word)
    except argparse.ArgumentTypeError:
        return False
    return True
