"""Asking nodes again that need an answer from a person first: about their host key, for a passphrase or a password."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from mclu_shell.cloud.concurrency.fanout import Outcome, gather
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.errors import InvalidReply, MCluError, PromptRequired, Question

Value = TypeVar("Value")

# As often ssh asks for a passphrase or a password (ssh_config(5), NumberOfPasswordPrompts).
_TIMES = 3


def retry_after_prompts(
    outcomes: Sequence[Outcome[Node, Value]],
    question: Callable[[Node], Value],
    asker: Callable[[Question], str | None],
    others: Iterable[Node] = (),
) -> list[Outcome[Node, Value]]:
    """The outcomes, those of nodes that needed an answer replaced by what they say after it.

    One question at a time: a passphrase may open the way to several nodes. `asker` returns None where none is given.
    An answer that cannot be kept is the error of those it was for. `others` that had failed are looked at once more
    behind the prompt: what was answered may help them, too.
    """
    found = {outcome.item: outcome for outcome in outcomes}
    asked: dict[str, int] = {}
    why: dict[str, str] = {}
    while (wanted := _next(found.values(), asked)) is not None:
        asked[wanted.text] = asked.get(wanted.text, 0) + 1
        said = asker(wanted._replace(text=why.get(wanted.text, "") + wanted.text))
        why[wanted.text] = "That was wrong.\n"
        try:
            is_right = said is not None and wanted.answer(said)
        except InvalidReply as error:
            why[wanted.text] = f"{error}\n"
            continue
        except MCluError as error:
            found.update((node, Outcome(node, error=error)) for node in _waiting(found, wanted.text))
            continue
        if is_right:
            found.update((outcome.item, outcome) for outcome in gather(_waiting(found), question))
            _look_again(node for node in others if node not in found)
        elif said is None or not wanted.is_secret:
            asked[wanted.text] = _TIMES
    return [found[outcome.item] for outcome in outcomes]


def _look_again(nodes: Iterable[Node]) -> None:
    for node in nodes:
        if node.view.state.phase == Phase.FAULTY:
            node.poll_request.set()


def _waiting(found: Mapping[Node, Outcome[Node, Value]], text: str = "") -> list[Node]:
    """The nodes that need an answer: any, or that to the question of this text."""
    needs = {node: outcome.error for node, outcome in found.items() if isinstance(outcome.error, PromptRequired)}
    return [node for node, error in needs.items() if not text or error.question.text == text]


def _next(outcomes: Iterable[Outcome[Node, Value]], asked: dict[str, int]) -> Question | None:
    """The first question that has not been asked too often."""
    for outcome in outcomes:
        if isinstance(outcome.error, PromptRequired) and asked.get(outcome.error.question.text, 0) < _TIMES:
            return outcome.error.question
    return None
