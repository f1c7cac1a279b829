"""Changes to several guests at once."""

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.concurrency.changes import carry_out
from mclu_shell.cloud.concurrency.fanout import Outcome
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest

Value = TypeVar("Value")


def change_guests(
    guests: Sequence[tuple[Node, Guest]],
    change: Callable[[Node, Guest], Value],
    scope: CancelScope | None = None,
) -> Generator[Outcome[tuple[Node, Guest], Value], None, None]:
    """Change guests in parallel; begin no change after an interrupt, and finish those that have begun.

    The outcomes come in the order of their completion. An interrupt takes effect after the last one, and cancels
    `scope` before.
    """
    return carry_out(guests, lambda item: change(*item), lambda item: (item[0].name, item[1].name), scope)
