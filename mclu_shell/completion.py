"""Completion at the cursor, from the text and the snapshot: it queries no node and runs no template."""

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

# Words that need no quotes anywhere in a line; `~` means the home directory also inside quotes.
_PLAIN = re.compile(r"[\w@%+=:,./~-]+")

_NO_ALIASES: Mapping[str, str] = MappingProxyType({})


class Completions(NamedTuple):
    """Replacements for the text from `start` to the cursor, quoted where necessary."""

    start: int
    candidates: tuple[Candidate, ...]


def prepare() -> None:
    """Load all commands and the names of time zones, so that the first completion does not wait for them."""
    for command in _commands():
        _parser(command.text)
    tuple(TIMEZONE.complete(CompletionContext(Snapshot(()))))


def complete(text: str, snapshot: Snapshot, aliases: Mapping[str, str] = _NO_ALIASES) -> Completions:
    """Return the candidates for the last word of the text before the cursor.

    Candidates that differ in case count only if no other matches. `aliases` are the prompt's, by name.
    """
    end = tail(text)
    if end is None:
        return Completions(len(text), ())
    matches = _matches(end, CompletionContext(snapshot, end.word, aliases=aliases))
    return Completions(end.start, tuple(map(_quoted, matches)))


def complete_words(words: Sequence[str], word: str, snapshot: Snapshot) -> Sequence[Candidate]:
    """Return the candidates for the word that follows the words of a command, without quotes."""
    return _matches(Tail(tuple(words), word, 0), CompletionContext(snapshot, word))


def _matches(end: Tail, context: CompletionContext) -> Sequence[Candidate]:
    matches = list(_candidates(end, context)) or list(_candidates(end, context._replace(any_case=True)))
    return truncate(matches, lambda candidate: candidate.text)


def _quoted(candidate: Candidate) -> Candidate:
    text = candidate.text if _PLAIN.fullmatch(candidate.text) else shlex.quote(candidate.text)
    return candidate._replace(text=text, display=candidate.display or candidate.text)


def _candidates(end: Tail, context: CompletionContext) -> Iterable[Candidate]:
    if end.is_output:
        return _complete_type(FILE, context)
    if not end.words:
        return _first_words(context)
    # The words after an alias go to its last command, which may be a program of the user's shell.
    *_, line = expand(Line(end.words), context.aliases)
    if line.pipe or not line.words or (parser := _parser(line.words[0])) is None:
        return ()
    return _arguments(_ParsedWords(parser, line.words[1:]), context)


def _first_words(context: CompletionContext) -> list[Candidate]:
    commands = [command for command in _commands() if command.text not in context.aliases]
    return _fitting(sorted([*commands, *ALIAS.complete(context)], key=lambda candidate: candidate.text), context)


def _arguments(parsed: "_ParsedWords", context: CompletionContext) -> Iterable[Candidate]:
    if context.word.startswith("-") and parsed.takes_options:
        return _value(parsed, context) if "=" in context.word else _fitting(parsed.free_options(), context)
    return [candidate for action in parsed.next_actions() for candidate in _of_argument(action, parsed, context)]


def _value(parsed: "_ParsedWords", context: CompletionContext) -> Iterator[Candidate]:
    """Yield candidates for `--option=value`, as one word."""
    name, _, value = context.word.partition("=")
    action = parsed.options.get(name)
    if action is not None and action.nargs != 0:
        for candidate in _of_argument(action, parsed, context._replace(word=value)):
            display = candidate.display or candidate.text
            yield candidate._replace(text=f"{name}={candidate.text}", display=display)


def _of_argument(action: argparse.Action, parsed: "_ParsedWords", context: CompletionContext) -> Iterable[Candidate]:
    if not isinstance(action.type, ArgType):
        return ()
    options = {dest: values[-1] for dest, values in parsed.values.items() if values}
    return _complete_type(
        action.type, context._replace(previous=tuple(parsed.values.get(action.dest, ())), options=options)
    )


def _complete_type(arg_type: ArgType, context: CompletionContext) -> Iterable[Candidate]:
    return _fitting(arg_type.complete(context), context)


def _fitting(candidates: Iterable[Candidate], context: CompletionContext) -> list[Candidate]:
    return [candidate for candidate in candidates if context.fits(candidate.text)]


@cache
def _commands() -> tuple[Candidate, ...]:
    return tuple(Candidate(name, command_loader.load_command(name).summary) for name in command_loader.command_names())


@lru_cache(maxsize=100)
def _parser(name: str) -> Parser | None:
    # Each load reads the directory of commands.
    try:
        return command_loader.load_command(name).parser()
    except UsageError:
        return None


class _ParsedWords:
    """The words of a command so far, assigned to its arguments."""

    def __init__(self, parser: Parser, words: Sequence[str]) -> None:
        self.options = {name: action for action in parser.arguments for name in action.option_strings}
        # The values by their argument's `dest`; an empty list for an option that takes no value.
        self.values: dict[str, list[str]] = {}
        self._arguments = parser.arguments
        self._waiting: argparse.Action | None = None
        self._options_end = False
        for word in words:
            self._read(word)

    @property
    def takes_options(self) -> bool:
        """False after `--`, and after an option that requires a value."""
        return not self._options_end and (self._waiting is None or self._waiting.nargs == "?")

    def next_actions(self) -> list[argparse.Action]:
        """Return the arguments that the next word may belong to: an option that takes a value, the next positional."""
        positional = self._next_positional() if self.takes_options or self._options_end else None
        return [action for action in (self._waiting, positional) if action is not None]

    def free_options(self) -> list[Candidate]:
        """Return the options that can still be given, by their long names."""
        free = [action for action in self._arguments if action.option_strings and action.dest not in self.values]
        return [Candidate(action.option_strings[-1], action.help or "") for action in free]

    def _read(self, word: str) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and _is_value(waiting, word):
            self._put(waiting, word)
        elif word == "--" and not self._options_end:
            self._options_end = True
        elif word.startswith("-") and word != "-" and not self._options_end:
            self._read_option(word)
        elif (positional := self._next_positional()) is not None:
            self._put(positional, word)

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

    def _next_positional(self) -> argparse.Action | None:
        positional = [action for action in self._arguments if not action.option_strings]
        free = (action for action in positional if action.nargs in ("*", "+") or action.dest not in self.values)
        return next(free, None)


def _is_value(action: argparse.Action, word: str) -> bool:
    """Return True if a word is an option's value; an optional value must parse as one."""
    if action.nargs != "?" or not isinstance(action.type, ArgType):
        return True
    try:
        action.type(word)
    except argparse.ArgumentTypeError:
        return False
    return True
