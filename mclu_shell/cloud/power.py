"""Power control of nodes: wake them, wait until they are up, switch them off unless they run guests."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.concurrency.changes import carry_out
from mclu_shell.cloud.concurrency.fanout import Outcome, as_completed, reordered
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.nodes.power_refusal import power_off_refusal
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import (
    ConnectionLost,
    LibvirtDown,
    NodeBusy,
    NodeFault,
    NodeOff,
    PromptRequired,
    SSHDown,
    Unreachable,
)
from mclu_shell.units import format_duration

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud

Value = TypeVar("Value")

# A server with many services may take minutes to stop them.
_DOWN_TIMEOUT_S = 180.0
# The intervals of polls and of magic packets while a node starts.
_POLL_S = 0.25
_WAKE_AGAIN_S = 5.0
# The faults of a node that is starting. Unreachable is one: a name that the node announces itself (mDNS, DHCP) does not
# resolve before it is up.
STARTING = (NodeOff, SSHDown, LibvirtDown, ConnectionLost, Unreachable, NodeBusy)


def wait_until_on(node: Node, scope: CancelScope, *, wakes: bool = True) -> None:
    """Wait until libvirt answers; raise NodeFault with the last fault at the deadline, return if cancelled.

    `wakes` repeats the magic packet every five seconds.
    """
    wake_again = time.monotonic() + _WAKE_AGAIN_S
    while (fault := _not_on(node, scope)) is not None and not scope.is_cancelled:
        if scope.is_over:
            fact = f"not up after {format_duration(scope.timeout_s)}: {fault.fact}"
            raise NodeFault(fact, place=node.name, remedy="" if isinstance(fault, NodeOff) else fault.remedy)
        if wakes and time.monotonic() >= wake_again:
            # A magic packet has no reply, and can be lost.
            node.wake()
            wake_again = time.monotonic() + _WAKE_AGAIN_S
        scope.sleep(_POLL_S)


def _not_on(node: Node, scope: CancelScope) -> NodeFault | None:
    """Return None if libvirt answers, or the fault of a node that is starting; raise other faults."""
    try:
        # A query would accept a recent answer, but the node may be going down since.
        scope.run(lambda: node.query(lambda client: client.ping()))
    except STARTING as fault:
        return fault
    except TimeoutError:
        return NodeFault("no answer", place=node.name)
    return None


def wait_until_off(node: Node, scope: CancelScope) -> None:
    """Wait until nothing answers at a node's address; raise NodeFault at the deadline, return if cancelled."""
    while not isinstance(fault := _not_on(node, scope), NodeOff) and not scope.is_cancelled:
        if scope.is_over:
            reason = f": {fault.fact}" if fault else ""
            raise NodeFault(f"not off after {format_duration(scope.timeout_s)}{reason}", place=node.name)
        scope.sleep(_POLL_S)


def wait_for_nodes(
    cloud: "Cloud",
    nodes: Sequence[Node],
    timeout_s: float,
    wait: Callable[[Node, CancelScope], None],
    notify: Callable[[Sequence[str]], None],
) -> Iterator[Outcome[Node, None]]:
    """Wait for all nodes in parallel, for `timeout_s` each; yield their outcomes as they come.

    `notify` is called with the names of the nodes that are not ready yet. Prompts are shown after all other outcomes.
    """
    waiting = [node.name for node in nodes]
    scope = CancelScope()
    need_prompt = []
    try:
        notify(waiting)
        for outcome in as_completed(nodes, lambda node: wait(node, scope.limit(timeout_s))):
            waiting.remove(outcome.item.name)
            notify(waiting)
            if isinstance(outcome.error, PromptRequired):
                need_prompt.append(outcome.item)
            else:
                yield outcome
        yield from cloud.query(lambda node: wait(node, scope.limit(timeout_s)), need_prompt)
    finally:
        scope.cancel()


def check_power_off(cloud: "Cloud", nodes: Sequence[Node]) -> list[Outcome[Node, None]]:
    """Return an outcome for each node, with an error if it runs guests or they are unknown.

    NodeOff is the error of a node that is off already.
    """
    return [_check_outcome(outcome) for outcome in cloud.fetch_guests(nodes, active=True)]


def _check_outcome(outcome: Outcome[Node, tuple[Guest, ...]]) -> Outcome[Node, None]:
    return Outcome(outcome.item, error=outcome.error or power_off_refusal(outcome.item.name, outcome.unwrap()))


def switch_off(nodes: Sequence[Node], scope: CancelScope) -> Iterator[Outcome[Node, None]]:
    """Switch nodes off, after another check for running guests; yield an outcome for each when it is off."""
    return change_nodes(nodes, lambda node: _switch_off(node, scope), scope)


def change_nodes(
    nodes: Sequence[Node], change: Callable[[Node], Value], scope: CancelScope | None = None
) -> Generator[Outcome[Node, Value], None, None]:
    """Change nodes in parallel; begin no change after an interrupt, and finish those that have begun."""
    return carry_out(nodes, change, lambda node: (node.name, ""), scope)


def wake_nodes(nodes: Sequence[Node]) -> Iterator[Outcome[Node, None]]:
    """Wake nodes; yield their outcomes in the order of the nodes."""
    return reordered(nodes, change_nodes(nodes, lambda node: node.wake()))


def _switch_off(node: Node, scope: CancelScope) -> None:
    try:
        # A guest may have started since `check_power_off`.
        if (refusal := power_off_refusal(node.name, node.fetch_guests(active=True))) is not None:
            raise refusal
        node.power_off(_DOWN_TIMEOUT_S, scope)
    except NodeOff:
        return
