"""Asking nodes again that need an answer from a person first: about their host key, for a passphrase or a password."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from mclu_shell.cloud.node import Node
from mclu_shell.cloud.parallel import Outcome, gather
from mclu_shell.errors import NeedsAnswer, Question

Value = TypeVar("Value")

# As often ssh asks for a passphrase or a password (ssh_config(5), NumberOfPasswordPrompts).
_TIMES = 3


def with_answers(
    outcomes: Sequence[Outcome[Node, Value]],
    question: Callable[[Node], Value],
    asker: Callable[[Question], str | None],
) -> list[Outcome[Node, Value]]:
    """The outcomes, those of nodes that needed an answer replaced by what they say after it.

    One question at a time: a passphrase may open the way to several nodes. `asker` returns None where none is given.
    """
    found = {outcome.item: outcome for outcome in outcomes}
    asked: dict[str, int] = {}
    while (wanted := _next(found.values(), asked)) is not None:
        asked[wanted.text] = asked.get(wanted.text, 0) + 1
        said = asker(wanted)
        if said is not None and wanted.answer(said):
            waiting = [node for node, outcome in found.items() if isinstance(outcome.error, NeedsAnswer)]
            found.update((outcome.item, outcome) for outcome in gather(waiting, question))
        elif said is None or not wanted.is_secret:
            asked[wanted.text] = _TIMES
    return [found[outcome.item] for outcome in outcomes]


def _next(outcomes: Iterable[Outcome[Node, Value]], asked: dict[str, int]) -> Question | None:
    """The first question that has not been asked too often."""
    for outcome in outcomes:
        if isinstance(outcome.error, NeedsAnswer) and asked.get(outcome.error.question.text, 0) < _TIMES:
            return outcome.error.question
    return None
