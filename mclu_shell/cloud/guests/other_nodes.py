"""Guests of the other nodes, which may use a guest's files on shared storage."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition, referenced_files
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import MCluError, NodeOff, Refused

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud

# Several libvirt calls per guest of a node.
DEFINITIONS_TIMEOUT_S = 30.0


class OtherNodes(NamedTuple):
    """Guest definitions by node and UUID, and the faults of nodes that could not be queried.

    A node that is off is in neither.
    """

    guests: tuple[tuple[Node, Mapping[str, DomainDefinition]], ...] = ()
    faults: tuple[MCluError, ...] = ()

    def describe_duplicate(self, guest: Guest) -> str:
        """Name the guests of the same UUID, as after a migration on shared storage; empty if there are none."""
        names = [
            f"{node.name}:{definitions[guest.uuid].name}"
            for node, definitions in self.guests
            if node.name != guest.node and guest.uuid in definitions
        ]
        return f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} the same UUID" if names else ""

    def find_users(self, node: Node, files: Iterable[str]) -> dict[str, str]:
        """Find a node's files that guests of other nodes use on shared storage; return the reasons to keep them."""
        users: dict[str, str] = {}
        for other, definitions in self.guests:
            names = {
                file: definition.name
                for definition in definitions.values()
                for file in referenced_files(definition).intersection(files)
            }
            if names and other is not node:
                shared = set(_inodes(node, names).items()) & set(_inodes(other, names).items())
                users |= {file: f"{other.name}:{names[file]} uses it" for file, _ in shared}
        return users


def _inodes(node: Node, files: Iterable[str]) -> dict[str, str]:
    """Return the inodes of existing files; a network file system has the same numbers on all clients."""
    done = node.run_read_only(
        ["sh", "-c", 'for file; do stat -L -c %i -- "$file" 2>/dev/null || echo; done', "sh", *files]
    )
    return {file: inode for file, inode in zip(files, done.out.splitlines(), strict=True) if inode}


def query_other_nodes(cloud: "Cloud", guests: Sequence[Guest]) -> OtherNodes:
    """Fetch the guest definitions of all nodes except a single node that has all these guests."""
    nodes = [node for node in cloud.nodes if any(guest.node != node.name for guest in guests)]
    outcomes = cloud.query(_fetch_definitions, nodes)
    errors = [outcome.error for outcome in outcomes if outcome.error and not isinstance(outcome.error, NodeOff)]
    faults = (error.with_context(fact=f"cannot check for the same guest: {error.fact}") for error in errors)
    return OtherNodes(tuple((out.item, out.value) for out in outcomes if out.value is not None), tuple(faults))


def _fetch_definitions(node: Node) -> dict[str, DomainDefinition]:
    # Fails early if the node does not answer: fetch_definitions has a long timeout.
    node.fetch_guests()
    return node.query(lambda client: client.fetch_definitions(), DEFINITIONS_TIMEOUT_S)


def require_all_answered(node: Node, guest: Guest, elsewhere: OtherNodes) -> None:
    """Raise Refused if a node could not be queried: on shared storage, its guests may use the same files."""
    # A dry run cannot query a node that earlier lines wake; the real run will.
    if places := " and ".join(fault.place for fault in elsewhere.faults if not isinstance(fault, UnknownUntilUp)):
        raise Refused(
            f"{guest.name} not destroyed: cannot check {places} for the same guest",
            place=node.name,
            remedy=f"retry when {places} can be reached, or run 'destroy' at the prompt",
        )
