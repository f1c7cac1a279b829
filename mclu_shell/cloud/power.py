"""Switching nodes on and off: waiting until they are up, and taking no guest down with them."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.concurrency.fanout import Outcome, as_completed
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import (
    ConnectionLost,
    LibvirtDown,
    NodeBusy,
    NodeFault,
    NodeOff,
    PromptRequired,
    Refused,
    SSHDown,
    Unreachable,
)
from mclu_shell.units import format_duration

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud

# A server with many services takes its time to stop them.
_DOWN_TIMEOUT_S = 180.0
# While a node starts, how often it is looked at, and how often it is woken again.
_POLL_S = 0.25
_WAKE_AGAIN_S = 5.0
# What a node that is starting shows. Unreachable too: a name that the node itself announces (mDNS, DHCP) is not known
# before it is up.
STARTING = (NodeOff, SSHDown, LibvirtDown, ConnectionLost, Unreachable, NodeBusy)


def wait_until_on(node: Node, timeout_s: float, stop: threading.Event, *, wakes: bool = True) -> None:
    """Wait until libvirt answers, with `wakes` waking the node again now and then; NodeFault tells why it did not."""
    scope = CancelScope(timeout_s)
    wake_again = time.monotonic() + _WAKE_AGAIN_S
    while (fault := _not_on(node, scope)) is not None:
        if scope.is_over:
            told = f"not up after {format_duration(timeout_s)}: {fault.fact}"
            raise NodeFault(told, place=node.name, remedy="" if isinstance(fault, NodeOff) else fault.remedy)
        if wakes and time.monotonic() >= wake_again:
            # A magic packet is sent once and confirmed by nobody: it can be lost.
            node.wake()
            wake_again = time.monotonic() + _WAKE_AGAIN_S
        if stop.wait(_POLL_S):
            return


def _not_on(node: Node, scope: CancelScope) -> NodeFault | None:
    """None once libvirt answers, else what a node that is starting shows; other faults are raised."""
    try:
        # That a node has just answered is not enough: it may be going down.
        scope.run(lambda: node.query(lambda client: client.ping()))
    except STARTING as fault:
        return fault
    except TimeoutError:
        return NodeFault("no answer", place=node.name)
    return None


def wait_until_off(node: Node, timeout_s: float, stop: threading.Event) -> None:
    """Wait until nothing answers at a node's address; NodeFault if something still does."""
    scope = CancelScope(timeout_s)
    while not isinstance(fault := _not_on(node, scope), NodeOff):
        if scope.is_over:
            how = f": {fault.fact}" if fault else ""
            raise NodeFault(f"not off after {format_duration(timeout_s)}{how}", place=node.name)
        if stop.wait(_POLL_S):
            return


def wait_for_nodes(
    cloud: "Cloud",
    nodes: Sequence[Node],
    wait: Callable[[Node, threading.Event], None],
    notify: Callable[[Sequence[str]], None],
) -> Iterator[Outcome[Node, None]]:
    """Wait for all nodes at once; an outcome for each as it comes. `notify` is told which are still waited for.

    Whoever is there is asked what only a person can answer, when nothing is waited for any more.
    """
    waiting = [node.name for node in nodes]
    stop = threading.Event()
    unanswered = []
    try:
        notify(waiting)
        for outcome in as_completed(nodes, lambda node: wait(node, stop)):
            waiting.remove(outcome.item.name)
            notify(waiting)
            if isinstance(outcome.error, PromptRequired):
                unanswered.append(outcome.item)
            else:
                yield outcome
        yield from cloud.query(lambda node: wait(node, stop), unanswered)
    finally:
        stop.set()


def check_power_off(cloud: "Cloud", nodes: Sequence[Node]) -> list[Outcome[Node, None]]:
    """Why nodes must not be switched off, as errors: running guests, or no way to know. NodeOff is no objection."""
    return [_objection(outcome) for outcome in cloud.fetch_guests(nodes, active=True)]


def _objection(outcome: Outcome[Node, tuple[Guest, ...]]) -> Outcome[Node, None]:
    return Outcome(outcome.item, error=outcome.error or power_off_refusal(outcome.item, outcome.unwrap()))


def switch_off(nodes: Sequence[Node], stop: threading.Event) -> Iterator[Outcome[Node, None]]:
    """Switch nodes off, each after one more look at its guests; an outcome for each as soon as it is down."""
    return as_completed(nodes, lambda node: _switch_off(node, stop))


def _switch_off(node: Node, stop: threading.Event) -> None:
    try:
        # A guest may have been started since all nodes were looked at.
        if (refused := power_off_refusal(node, node.fetch_guests(active=True))) is not None:
            raise refused
        node.power_off(_DOWN_TIMEOUT_S, stop)
    except NodeOff:
        return


def power_off_refusal(node: Node, guests: Sequence[Guest]) -> Refused | None:
    """Why a node with these guests must not be switched off; None if none of them runs."""
    running = [guest for guest in guests if guest.is_active]
    return Refused(f"not switched off: {_are_running(running)}", place=node.name) if running else None


def _are_running(guests: Sequence[Guest]) -> str:
    names = ", ".join(guest.name for guest in guests[:5])
    if len(guests) > 5:
        names += f" and {len(guests) - 5} more"
    return f"{'guests' if len(guests) > 1 else 'guest'} running: {names}"
