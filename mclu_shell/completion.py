"""What could stand at the cursor: pure, from the text and the snapshot, without any I/O."""

import argparse
import shlex
from dataclasses import dataclass

from mclu_shell import commands, language
from mclu_shell.cloud.state import Snapshot
from mclu_shell.command import Parser
from mclu_shell.errors import UsageError
from mclu_shell.kinds import Candidate, Kind


@dataclass(frozen=True, slots=True)
class Completions:
    """What may replace the text from `start` to the cursor, quoted where it has to be."""

    start: int
    candidates: tuple[Candidate, ...]


def complete(text: str, snapshot: Snapshot) -> Completions:
    """The candidates for the last word of the text before the cursor."""
    end = language.tail(text)
    if end is None:
        return Completions(len(text), ())
    found = [candidate for candidate in _candidates(end, snapshot) if candidate.text.startswith(end.word)]
    return Completions(end.start, tuple(Candidate(shlex.quote(found.text), found.about) for found in found))


def _candidates(end: language.Tail, snapshot: Snapshot) -> list[Candidate]:
    if not end.words:
        return [Candidate(name, commands.load_command(name).summary) for name in commands.command_names()]
    try:
        parser = commands.load_command(end.words[0]).parser()
    except UsageError:
        return []
    given = end.words[1:]
    if end.word.startswith("-"):
        return _options(parser, given)
    wanted = _wanted(parser, given)
    if wanted is None or not isinstance(wanted.type, Kind):
        return []
    return [candidate for candidate in wanted.type.candidates(snapshot) if candidate.text not in given]


def _options(parser: Parser, given: tuple[str, ...]) -> list[Candidate]:
    """The options that are not given yet, by their long names."""
    free = [action for action in parser.arguments if not set(action.option_strings) & set(given)]
    return [Candidate(action.option_strings[-1], action.help or "") for action in free if action.option_strings]


def _wanted(parser: Parser, given: tuple[str, ...]) -> argparse.Action | None:
    """The argument that the next word is for: the value of an option, else the positional one whose turn it is."""
    options = {name: action for action in parser.arguments for name in action.option_strings}
    last = options.get(given[-1]) if given else None
    if last is not None and last.nargs != 0:
        return last
    taken = sum(not word.startswith("-") for word in given)
    positional = [action for action in parser.arguments if not action.option_strings]
    for action in positional:
        if taken == 0 or action.nargs in ("*", "+"):
            return action
        taken -= 1
    return None
