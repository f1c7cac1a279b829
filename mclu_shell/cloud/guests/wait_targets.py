"""Targets of `wait`: guests that exist, and names on nodes that may still be coming up."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.guests.find import find_guest, find_guests
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.guest_name import parse_guest
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.errors import MCluError, NodeFault, NotFound, SSHRefused
from mclu_shell.units import format_duration

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud

_POLL_S = 0.5


class WaitTarget(NamedTuple):
    """A guest to wait for; until its node is up, `match` is None and `fault` has the reason."""

    name: str
    match: tuple[Node, Guest] | None = None
    fault: MCluError | None = None


def resolve_wait_targets(cloud: "Cloud", patterns: Sequence[str], faults: list[MCluError]) -> list[WaitTarget]:
    """Find the guests that match, each once, as `find_guests` does, and names on nodes that may still be coming up.

    Wildcards match only guests that exist now.
    """
    targets: dict[str, WaitTarget] = {}
    for pattern in patterns:
        try:
            matches = find_guests(cloud, [pattern], faults=faults)
        except MCluError as error:
            if not _may_come(cloud, pattern, error):
                raise
            targets[pattern] = WaitTarget(pattern, fault=error)
        else:
            for node, guest in matches:
                name = f"{node.name}:{guest.name}"
                targets[name] = WaitTarget(name, (node, guest))
    return list(targets.values())


def _may_come(cloud: "Cloud", name: str, error: MCluError) -> bool:
    """Return True if the guest may be found later: on the named node, or on one that was just woken."""
    parsed = parse_guest(name)
    if parsed.is_wildcard or isinstance(error, SSHRefused):
        return False
    nodes = cloud.match([parsed.host]) if parsed.host else cloud.nodes
    is_waking = any(node.expected.is_waking() and node.view.state.phase != Phase.ON for node in nodes)
    return isinstance(error, NodeFault) or (isinstance(error, NotFound) and is_waking)


def wait_until_found(
    cloud: "Cloud", name: str, scope: CancelScope, note: Callable[[MCluError], None]
) -> tuple[Node, Guest]:
    """Wait until a guest's node is up and return the guest; raise the last error at the deadline.

    Call `note` with each error before that.
    """
    with scope.waiter() as waiter:
        while True:
            try:
                return find_guest(cloud, name)
            except MCluError as error:
                if not _may_come(cloud, name, error):
                    raise
                if scope.is_over:
                    raise not_found_in_time(error, name, scope) from error
                note(error)
            scope.wait(waiter, _POLL_S)


def not_found_in_time(error: MCluError, name: str, scope: CancelScope) -> MCluError:
    """Return the error for a guest that was not found before the deadline."""
    return error.with_context(fact=f"{error.fact}, after waiting {format_duration(scope.timeout_s)} for {name}")
