"""The decision between two boots of one name on different nodes: exactly one guest stays."""

from collections.abc import Sequence

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import Refused

# How long to wait until a rival guest is started or removed, and how often to check.
_GIVE_WAY_S = 10.0
_POLL_S = 0.1


def settle_rivals(name: str, uuid: str, nodes: Sequence[Node]) -> None:
    """Check that a guest that is defined, but not started, is the only one of its name; raise Refused if it must go.

    Of two boots of one name at least one sees the other's guest, because each defines its guest before it looks for
    others. The guest with the smaller UUID stays. The other boot may not have seen it and start its own: so the boot
    whose guest stays waits until the other guest is removed, and gives way if that one runs.
    """
    scope = CancelScope(_GIVE_WAY_S)
    while rivals := _rivals(name, uuid, nodes):
        winner = find_winner(uuid, rivals)
        if winner is None and scope.is_over:
            winner = rivals[0]
        if winner is not None:
            raise Refused(f"another boot created a guest {name!r} at the same time", place=winner.node)
        scope.sleep(_POLL_S)


def _rivals(name: str, uuid: str, nodes: Sequence[Node]) -> list[Guest]:
    """Return the other guests of a name, on all nodes that answer."""
    outcomes = gather(nodes, lambda node: node.fetch_guests())
    guests = [guest for outcome in outcomes for guest in outcome.value or ()]
    return [guest for guest in guests if guest.name == name and guest.uuid != uuid]


def find_winner(uuid: str, rivals: Sequence[Guest]) -> Guest | None:
    """Return the rival that wins over a guest without waiting: one that runs, or one with a smaller UUID."""
    return next((rival for rival in rivals if rival.is_active or rival.uuid < uuid), None)
