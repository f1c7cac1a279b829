"""A survey of the guests and files of all nodes, for any number of guests to destroy."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.guests.files.disk_files import DiskFiles, find_overlays, inspect_files
from mclu_shell.cloud.guests.files.file_id import FileId
from mclu_shell.cloud.guests.files.file_uses import FileUse, FileUses, collect_uses
from mclu_shell.cloud.guests.files.open_files import OpenFiles, fetch_open_files
from mclu_shell.cloud.hypervisor.domain_files import (
    DomainDefinition,
    chain_files,
    disks,
    noted_files,
    nvram_files,
    referenced_files,
)
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import MCluError, NodeOff, Refused

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud

# A call to libvirt for each guest.
_DEFINITIONS_TIMEOUT_S = 60.0


class PlannedRemovals(NamedTuple):
    """Guests (UUIDs) and files of a node that earlier lines of a dry run would have removed; empty in a real run.

    `stopped` are guests that they would have stopped.
    """

    guests: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    stopped: frozenset[str] = frozenset()


class NodeSurvey(NamedTuple):
    """The guests of a node by UUID, their files, and the uses of these.

    `overlays` has, by key, the images that need a file. It and `opened` are empty on a node without guests to destroy.
    """

    definitions: Mapping[str, DomainDefinition]
    files: DiskFiles
    uses: FileUses
    overlays: Mapping[str, tuple[str, ...]]
    opened: OpenFiles

    def describe_unreadable(self, node: str, image: str, guest: str = "") -> MCluError:
        """Return the error for an image that may need any file, also those of a guest to destroy."""
        users = " and ".join(sorted({use.guest for use in self.uses.find_path(image)}))
        reason = self.files.unreadable[image].removeprefix(f"qemu-img: Could not open '{image}': ")
        return Refused(
            f"{guest and f'{guest} not destroyed: '}cannot determine the backing file of {image}"
            f"{users and f', which {users} uses'}: {reason}",
            place=node,
            remedy=f"repair or delete {image}{users and f', or undefine {users}'}",
        )


class Survey(NamedTuple):
    """The surveys of nodes by name, and the errors of the others, which may be off."""

    nodes: Mapping[str, NodeSurvey]
    errors: Mapping[str, MCluError]
    removed: Mapping[str, PlannedRemovals]

    def removals(self, node: str) -> PlannedRemovals:
        """Return what earlier lines of a dry run would have removed from a node."""
        return self.removed.get(node, PlannedRemovals())

    def describe_duplicate(self, guest: Guest) -> str:
        """Name the guests of the same UUID, as after a migration on shared storage; empty if there are none."""
        names = [
            f"{node}:{there.definitions[guest.uuid].name}"
            for node, there in self._others(guest.node)
            if guest.uuid in there.definitions and guest.uuid not in self.removals(node).guests
        ]
        return f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} the same UUID" if names else ""

    def find_uses(self, node: str, path: str, file: FileId) -> Iterator[tuple[str, FileUse]]:
        """Yield the uses of a file of a node, with the nodes of the guests; on another node, it may be another file.

        The guests that earlier lines of a dry run would have removed do not count.
        """
        removed = {name: self.removals(name).guests for name in self.nodes}
        return (pair for pair in self.find_present_uses(node, path, file) if pair[1].uuid not in removed[pair[0]])

    def find_present_uses(self, node: str, path: str, file: FileId) -> Iterator[tuple[str, FileUse]]:
        """Yield the same, but count the guests that earlier lines of a dry run would have removed."""
        for name, there in ((node, self.nodes[node]), *self._others(node)):
            uses = there.uses.find_here(path, file) if name == node else there.uses.find_elsewhere(path, file)
            yield from ((name, use) for use in uses)

    def _others(self, node: str) -> Iterator[tuple[str, NodeSurvey]]:
        return ((name, there) for name, there in self.nodes.items() if name != node)

    def unchecked(self, node: str) -> tuple[str, ...]:
        """Return the other nodes whose guests, or the backing files of these, are unknown."""
        # A dry run cannot query a node that earlier lines wake; the real run will.
        failed = [name for name, error in self.errors.items() if not isinstance(error, UnknownUntilUp)]
        unreadable = [name for name, there in self._others(node) if there.files.unreadable]
        return tuple(name for name in (*failed, *unreadable) if name != node)

    def faults(self, nodes: Collection[str]) -> list[MCluError]:
        """Return the errors of these nodes, except that a node is off, and those of images that cannot be read."""
        errors = [error for name, error in self.errors.items() if name in nodes and not isinstance(error, NodeOff)]
        images = [
            there.describe_unreadable(name, next(iter(there.files.unreadable)))
            for name, there in self.nodes.items()
            if name in nodes and there.files.unreadable
        ]
        return [
            *(
                error
                if isinstance(error, UnknownUntilUp)
                else error.with_context(fact=f"cannot check its guests: {error.fact}")
                for error in errors
            ),
            *images,
        ]


def survey_nodes(
    cloud: "Cloud",
    guests: Sequence[Guest],
    removed: Mapping[str, PlannedRemovals] | None = None,
    unanswered: Mapping[str, MCluError] | None = None,
) -> Survey:
    """Survey all nodes at the same time; a node's error does not end the survey.

    `unanswered` are the errors of nodes that have just failed to answer: to wait again would take as long.
    """
    failed = unanswered or {}
    targets = {node.name: {guest.uuid for guest in guests if guest.node == node.name} for node in cloud.nodes}
    left = [node for node in cloud.nodes if node.name not in failed]
    planned = removed or {}
    stopped = {name: removals.stopped for name, removals in planned.items()}
    outcomes = cloud.query(lambda node: _survey(node, targets[node.name], stopped.get(node.name, ())), left)
    return Survey(
        {outcome.item.name: outcome.unwrap() for outcome in outcomes if outcome.error is None},
        {**failed, **{outcome.item.name: outcome.error for outcome in outcomes if outcome.error is not None}},
        planned,
    )


def renew_survey(survey: Survey, node: Node, guests: Sequence[Guest]) -> Survey:
    """Survey a node again if it has a guest that is not in the survey: that may need the files of others."""
    found = node.query(lambda client: client.fetch_guests())
    if all(guest.uuid in survey.nodes[node.name].definitions for guest in found):
        return survey
    renewed = _survey(node, {guest.uuid for guest in guests})
    return survey._replace(nodes={**survey.nodes, node.name: renewed})


def survey_files(node: Node, more: Iterable[str]) -> NodeSurvey:
    """Survey a node's guests and their files, and `more` files."""
    definitions = node.query(lambda client: client.fetch_definitions(), _DEFINITIONS_TIMEOUT_S)
    images, others = _named_files(definitions)
    files = inspect_files(node, images, others.union(more))
    return NodeSurvey(definitions, files, collect_uses(definitions, files), {}, OpenFiles({}, frozenset()))


def _survey(node: Node, targets: Collection[str], stopped: Collection[str] = ()) -> NodeSurvey:
    # Fails early if the node does not answer: fetch_definitions has a long timeout.
    node.fetch_guests()
    fetched = node.query(lambda client: client.fetch_definitions(), _DEFINITIONS_TIMEOUT_S)
    definitions = {uuid: guest.stopped() if uuid in stopped else guest for uuid, guest in fetched.items()}
    own = [definition for uuid, definition in definitions.items() if uuid in targets]
    images, others = _named_files(definitions)
    images |= {file for guest in own for file in (*noted_files(guest), *chain_files(guest))}
    nvram = {file for guest in own for xml in guest.xmls for file in nvram_files(xml)}
    files = inspect_files(node, images, others | nvram)
    overlays = find_overlays(node, {file for guest in own for file in noted_files(guest)}, files)
    opened = fetch_open_files(node) if own else OpenFiles({}, frozenset())
    return NodeSurvey(definitions, files, collect_uses(definitions, files), overlays, opened)


def _named_files(definitions: Mapping[str, DomainDefinition]) -> tuple[set[str], set[str]]:
    """Return the disk images of guests, and all files that they name."""
    images = {file for guest in definitions.values() for file in disks(guest)}
    others = {file for guest in definitions.values() for file in (*referenced_files(guest), *noted_files(guest))}
    return images, others
