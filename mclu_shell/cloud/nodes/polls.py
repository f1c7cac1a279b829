"""Repeated queries of nodes, for an answer that follows their changes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from mclu_shell.cloud.concurrency.fanout import Outcome, gather
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.nodes.supervisor import REFUSED_S, SETTLE_S
from mclu_shell.errors import SSHRefused

Value = TypeVar("Value")


class Polls(Generic[Value]):
    """Queries each node in a thread of its own: after every event of its guests, and at an interval.

    A node that is slow or does not answer delays no other.
    """

    def __init__(self, nodes: Sequence[Node], query: Callable[[Node], Value], interval_s: float) -> None:
        self.interval_s = interval_s
        self._nodes = tuple(nodes)
        self._query = query
        self._outcomes: dict[str, Outcome[Node, Value]] = {}
        self._closing = threading.Event()

    @property
    def latest(self) -> list[tuple[Node, Outcome[Node, Value] | None]]:
        """The nodes with their latest outcomes; None for a node that has not answered yet."""
        return [(node, self._outcomes.get(node.name)) for node in self._nodes]

    @property
    def is_complete(self) -> bool:
        """True if every node has an outcome."""
        return len(self._outcomes) == len(self._nodes)

    @contextmanager
    def running(self, on_outcome: Callable[[], object]) -> Iterator[None]:
        """Query the nodes in the block; call `on_outcome` after each outcome, in any thread."""
        wakers = {node.name: threading.Event() for node in self._nodes}
        for node in self._nodes:
            args = (node, wakers[node.name], on_outcome)
            threading.Thread(target=self._poll, args=args, name=f"poll {node.name}", daemon=True).start()
        try:
            yield
        finally:
            self._closing.set()
            for waker in wakers.values():
                waker.set()

    def _poll(self, node: Node, waker: threading.Event, on_outcome: Callable[[], object]) -> None:
        with node.listen(lambda _event: waker.set()):
            while not self._closing.is_set():
                waker.clear()
                (outcome,) = gather([node], self._query)
                self._outcomes[node.name] = outcome
                on_outcome()
                is_refused = isinstance(outcome.error, SSHRefused)
                waker.wait(max(REFUSED_S, self.interval_s) if is_refused else self.interval_s)
                # The event may be the first of many.
                self._closing.wait(SETTLE_S)
