"""Switching nodes off without taking a guest down with them."""

import threading
from collections.abc import Iterator, Sequence

from mclu_shell.cloud.guest import Guest
from mclu_shell.cloud.node import Node
from mclu_shell.cloud.parallel import Outcome, each, gather
from mclu_shell.errors import NodeOff, Refused

# A server with many services takes its time to stop them.
_DOWN_TIMEOUT_S = 180.0


def look_before_off(nodes: Sequence[Node]) -> list[Outcome[Node, None]]:
    """Why nodes must not be switched off, as errors: running guests, or no way to know. NodeOff is no objection."""
    return gather(nodes, _refuse_if_busy)


def switch_off(nodes: Sequence[Node], stop: threading.Event) -> Iterator[Outcome[Node, None]]:
    """Switch nodes off, each after one more look at its guests; an outcome for each as soon as it is down."""
    return each(nodes, lambda node: _switch_off(node, stop))


def _switch_off(node: Node, stop: threading.Event) -> None:
    try:
        # A guest may have been started since all nodes were looked at.
        _refuse_if_busy(node)
        node.power_off(_DOWN_TIMEOUT_S, stop)
    except NodeOff:
        return


def _refuse_if_busy(node: Node) -> None:
    running = [guest for guest in node.fetch_guests(active=True) if guest.is_active]
    if running:
        raise Refused(f"not switched off: {_are_running(running)}", place=node.name)


def _are_running(guests: Sequence[Guest]) -> str:
    names = ", ".join(guest.name for guest in guests[:5])
    if len(guests) > 5:
        names += f" and {len(guests) - 5} more"
    return f"{'guests' if len(guests) > 1 else 'guest'} running: {names}"
