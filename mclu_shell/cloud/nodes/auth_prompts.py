"""Prompts for host keys, passphrases and passwords, with a retry of the nodes that needed them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from mclu_shell.cloud.concurrency.fanout import Outcome, gather
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.errors import InvalidReply, MCluError, PromptRequired, Question

Value = TypeVar("Value")

# As in ssh (ssh_config(5), NumberOfPasswordPrompts).
_MAX_ATTEMPTS = 3


def retry_after_prompts(
    outcomes: Sequence[Outcome[Node, Value]],
    query: Callable[[Node], Value],
    asker: Callable[[Question], str | None],
    others: Iterable[Node] = (),
) -> list[Outcome[Node, Value]]:
    """Return the outcomes, after prompting for nodes that need a reply and repeating the query to them.

    Prompts are shown one at a time, as one passphrase may give access to several nodes. `asker` returns None for no
    reply. A reply that cannot be stored is the error of the nodes that it was for. The supervisor polls faulty nodes
    among `others` again: the reply may apply to them, too.
    """
    by_node = {outcome.item: outcome for outcome in outcomes}
    attempts: dict[str, int] = {}
    hints: dict[str, str] = {}
    while (prompt := _next(by_node.values(), attempts)) is not None:
        attempts[prompt.text] = attempts.get(prompt.text, 0) + 1
        reply = asker(prompt._replace(text=hints.get(prompt.text, "") + prompt.text))
        hints[prompt.text] = "That was wrong.\n"
        try:
            is_right = reply is not None and prompt.answer(reply)
        except InvalidReply as error:
            hints[prompt.text] = f"{error}\n"
            continue
        except MCluError as error:
            by_node.update((node, Outcome(node, error=error)) for node in _waiting(by_node, prompt.text))
            continue
        if is_right:
            by_node.update((outcome.item, outcome) for outcome in gather(_waiting(by_node), query))
            _poll_faulty(node for node in others if node not in by_node)
        elif reply is None or not prompt.is_secret:
            attempts[prompt.text] = _MAX_ATTEMPTS
    return [by_node[outcome.item] for outcome in outcomes]


def _poll_faulty(nodes: Iterable[Node]) -> None:
    for node in nodes:
        if node.view.state.phase == Phase.FAULTY:
            node.poll_request.set()


def _waiting(outcomes: Mapping[Node, Outcome[Node, Value]], text: str = "") -> list[Node]:
    """Return the nodes that need a reply: to any prompt, or to the one with this text."""
    errors = {node: outcome.error for node, outcome in outcomes.items() if isinstance(outcome.error, PromptRequired)}
    return [node for node, error in errors.items() if not text or error.question.text == text]


def _next(outcomes: Iterable[Outcome[Node, Value]], attempts: dict[str, int]) -> Question | None:
    """Return the first prompt with attempts left."""
    for outcome in outcomes:
        if isinstance(outcome.error, PromptRequired) and attempts.get(outcome.error.question.text, 0) < _MAX_ATTEMPTS:
            return outcome.error.question
    return None
