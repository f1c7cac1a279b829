"""Prompts of ssh during a login, with a retry of the nodes that needed them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from mclu_shell.cloud.concurrency.fanout import Outcome, gather
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.errors import MCluError, PromptRequired, Question

Value = TypeVar("Value")


def retry_after_prompts(
    outcomes: Sequence[Outcome[Node, Value]],
    query: Callable[[Node], Value],
    asker: Callable[[Question], str | None],
    others: Iterable[Node] = (),
) -> Iterator[Outcome[Node, Value]]:
    """Yield the outcomes; for a node that needs a prompt, log in with prompts and repeat the query.

    The logins are made one after another. A passphrase that was entered for one node unlocks the key for the next,
    and a question without a reply is not repeated.
    `asker` returns None for no reply. The supervisor polls faulty nodes among `others` again: the reply may apply to
    them, too.
    """
    has_asked = False
    asker = _once_declined(asker)
    for outcome in outcomes:
        if not isinstance(outcome.error, PromptRequired):
            yield outcome
            continue
        has_asked = True
        try:
            outcome.item.log_in(asker)
        except MCluError as error:
            yield Outcome(outcome.item, error=error)
        else:
            yield from gather([outcome.item], query)
    if has_asked:
        asked = {outcome.item for outcome in outcomes}
        _poll_faulty(node for node in others if node not in asked)


def _once_declined(asker: Callable[[Question], str | None]) -> Callable[[Question], str | None]:
    """Return an asker that does not repeat a question without a reply, such as that for one key of several nodes."""
    declined: set[str] = set()

    def ask(question: Question) -> str | None:
        reply = None if question.text in declined else asker(question)
        if reply is None and not question.is_notice:
            declined.add(question.text)
        return reply

    return ask


def _poll_faulty(nodes: Iterable[Node]) -> None:
    for node in nodes:
        if node.view.state.phase == Phase.FAULTY:
            node.poll_request.set()
