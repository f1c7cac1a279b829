"""Which guests are waited for: those that are found, and those whose nodes may still be coming up."""

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

_SEEK_S = 0.5


class WaitTarget(NamedTuple):
    """A guest that is meant; `match` is None as long as the node that may have it is not there: `fault` says why."""

    name: str
    match: tuple[Node, Guest] | None = None
    fault: MCluError | None = None


def resolve_wait_targets(cloud: "Cloud", patterns: Sequence[str], faults: list[MCluError]) -> list[WaitTarget]:
    """The guests that are meant, each once, as `find_guests` does it; also those whose nodes may still be coming up.

    Wildcards mean what is there now.
    """
    awaited: dict[str, WaitTarget] = {}
    for pattern in patterns:
        try:
            found = find_guests(cloud, [pattern], faults=faults)
        except MCluError as error:
            if not _may_come(cloud, pattern, error):
                raise
            awaited[pattern] = WaitTarget(pattern, fault=error)
        else:
            for node, guest in found:
                name = f"{node.name}:{guest.name}"
                awaited[name] = WaitTarget(name, (node, guest))
    return list(awaited.values())


def _may_come(cloud: "Cloud", name: str, error: MCluError) -> bool:
    """Whether a guest may be found later: on the node that was named, or on one that was just woken."""
    parsed = parse_guest(name)
    if parsed.is_wildcard or isinstance(error, SSHRefused):
        return False
    nodes = cloud.match([parsed.host]) if parsed.host else cloud.nodes
    is_awaited = any(node.expected.is_waking() and node.view.state.phase != Phase.ON for node in nodes)
    return isinstance(error, NodeFault) or (isinstance(error, NotFound) and is_awaited)


def wait_until_found(
    cloud: "Cloud", name: str, scope: CancelScope, note: Callable[[MCluError], None]
) -> tuple[Node, Guest]:
    """The guest that a name means, as soon as its node is there; what is wrong if it is not in time.

    `note` is called with what is wrong so far.
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
            scope.wait(waiter, _SEEK_S)


def not_found_in_time(error: MCluError, name: str, scope: CancelScope) -> MCluError:
    """What is wrong where a guest has been looked for until the limit."""
    return error.with_context(fact=f"{error.fact}, and {name} was waited for {format_duration(scope.timeout_s)}")
