"""Destroying a guest: all that is its own, and never a byte that is not."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.console.log import remove_logs
from mclu_shell.cloud.guests.disk_files import DiskFiles, find_overlays, inspect_files
from mclu_shell.cloud.hypervisor.domain_files import (
    DomainDefinition,
    backing_files,
    disk_files,
    is_named_by_libvirt,
    memory_files,
    named_paths,
    nvram_files,
    overlay_files,
    own_files,
    own_logs,
    unnamed_disks,
)
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import MCluError, NodeOff, NotFound, Refused

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud

# Some calls for each guest of the node.
_LOOK_TIMEOUT_S = 30.0
_NOT_OURS = "not made by mclu"


class DestroyPlan(NamedTuple):
    """What destroying a guest takes away, with sizes in bytes, and what it leaves, with the reason.

    Of its `logs`, of which libvirt keeps others beside them, it is not an error if they cannot be deleted.
    """

    delete: tuple[tuple[str, int], ...]
    leave: tuple[tuple[str, str], ...]
    logs: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """All that is freed."""
        return sum(size for _, size in self.delete)


class PlannedRemovals(NamedTuple):
    """What is there, and would be gone before: guests by UUID, and files. Only in a dry run there is such."""

    guests: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()


_NOTHING_GONE = PlannedRemovals()


class OtherNodes(NamedTuple):
    """What other nodes have, by node and UUID, and the faults of those that could not be asked.

    What is off has no say.
    """

    guests: tuple[tuple[Node, Mapping[str, DomainDefinition]], ...] = ()
    faults: tuple[MCluError, ...] = ()

    def describe_duplicate(self, guest: Guest) -> str:
        """Why a guest's files stay although it goes: on shared storage, another node has it, too. Empty if none has."""
        names = [
            f"{node.name}:{there[guest.uuid].name}"
            for node, there in self.guests
            if node.name != guest.node and guest.uuid in there
        ]
        return f"{' and '.join(names)} {'has' if len(names) == 1 else 'have'} the same UUID" if names else ""

    def find_users(self, node: Node, files: Iterable[str]) -> dict[str, str]:
        """Which of a node's files are used on others, to which shared storage gives the same: why each has to stay."""
        found: dict[str, str] = {}
        for other, there in self.guests:
            named = {file: guest.name for guest in there.values() for file in _paths(guest).intersection(files)}
            if named and other is not node:
                shared = set(_inodes(node, named).items()) & set(_inodes(other, named).items())
                found |= {file: f"{other.name}:{named[file]} uses it" for file, _ in shared}
        return found


def _inodes(node: Node, files: Iterable[str]) -> dict[str, str]:
    """The inodes of those files that are there; a network's file system has the same numbers on all its clients."""
    done = node.look_with(["sh", "-c", 'for file; do stat -L -c %i -- "$file" 2>/dev/null || echo; done', "sh", *files])
    return {file: inode for file, inode in zip(files, done.out.splitlines(), strict=True) if inode}


def query_other_nodes(cloud: "Cloud", guests: Sequence[Guest]) -> OtherNodes:
    """Ask all nodes but the guests' own what guests they have."""
    nodes = [node for node in cloud.nodes if any(guest.node != node.name for guest in guests)]
    outcomes = cloud.query(_look_there, nodes)
    faults = [outcome.error for outcome in outcomes if outcome.error and not isinstance(outcome.error, NodeOff)]
    told = (error.with_context(fact=f"cannot tell whether it has the same guest: {error.fact}") for error in faults)
    return OtherNodes(tuple((out.item, out.value) for out in outcomes if out.value is not None), tuple(told))


def _look_there(node: Node) -> dict[str, DomainDefinition]:
    # This one finds out at once that a node does not answer.
    node.fetch_guests()
    return node.query(lambda client: client.fetch_definitions(), _LOOK_TIMEOUT_S)


def plan_destroy(
    node: Node,
    guest: Guest,
    elsewhere: OtherNodes,
    confirmed: DestroyPlan | None = None,
    gone: PlannedRemovals = _NOTHING_GONE,
) -> DestroyPlan:
    """Which files of a guest are its own: made for it by mclu or by its snapshots, and needed by nothing that stays.

    What was not to be deleted when that was `confirmed` stays. Refused if libvirt would delete NVRAM that has to stay.
    """
    found = node.query(lambda client: client.fetch_definitions(), _LOOK_TIMEOUT_S)
    definitions = {uuid: definition for uuid, definition in found.items() if uuid not in gone.guests}
    own = definitions.pop(guest.uuid, None)
    if own is None:
        raise NotFound(f"{guest.name} has gone meanwhile", place=node.name)
    files = _look(node, own, list(definitions.values()))
    uses = {place: f"{other.name} uses it" for other in definitions.values() for place in _places(other, files)}
    made = _made(own, files)
    nvram = [file for xml in own.xmls for file in nvram_files(xml) if file in files.sizes]
    there = [file for file in made if file in files.sizes]
    uses |= {files.real_path(file): why for file, why in elsewhere.find_users(node, [*there, *nvram]).items()}
    built = find_overlays(node, there, files, gone.files)
    uses = {place: f"{image} is built on it" for place, image in built.items()} | uses
    twin = elsewhere.describe_duplicate(guest)
    _check_nvram(guest, nvram, files, twin, uses)
    reasons = {**_unconfirmed(made, confirmed), **files.obstacles, **(dict.fromkeys(made, twin) if twin else {})}
    shared = {path for other in definitions.values() for path in _paths(other)}
    logs = tuple(log for log in own_logs(own.xmls[0]) if log not in shared)
    return _judge(own, files, reasons, uses)._replace(logs=logs)


def _unconfirmed(made: Sequence[str], confirmed: DestroyPlan | None) -> dict[str, str]:
    """Why files stay that nobody was told would go."""
    if confirmed is None:
        return {}
    told, left = dict(confirmed.delete), dict(confirmed.leave)
    return {file: left.get(file, "made meanwhile") for file in made if file not in told}


def _look(node: Node, own: DomainDefinition, others: Sequence[DomainDefinition]) -> DiskFiles:
    images = {*_noted(own), *(file for guest in (own, *others) for file in _disks(guest))}
    images |= {file for bases in _backing(own) for file in bases}
    nvram = {file for xml in own.xmls for file in nvram_files(xml)}
    return inspect_files(node, images, nvram.union(*map(_paths, others)))


def _noted(guest: DomainDefinition) -> tuple[str, ...]:
    """The files that mclu or a snapshot may have made for a guest."""
    snapshots = [file for xml in guest.snapshots for file in (*overlay_files(xml), *memory_files(xml))]
    return tuple(dict.fromkeys((*own_files(guest.xmls[0]), *snapshots)))


def _disks(guest: DomainDefinition) -> tuple[str, ...]:
    """Its disks, also those that it had at the time of a snapshot."""
    found = [disk for xml in guest.xmls + guest.snapshots for disk in disk_files(xml)]
    return tuple(dict.fromkeys([*found, *guest.volumes]))


def _paths(guest: DomainDefinition) -> set[str]:
    """All that a guest names, be it as a disk, a kernel, or in its snapshots."""
    return {path for xml in guest.xmls + guest.snapshots for path in named_paths(xml)} | {*guest.volumes}


def _places(guest: DomainDefinition, files: DiskFiles) -> Iterator[str]:
    """Where all is that a guest needs: what it names, and what that is built on."""
    for path in _paths(guest):
        yield from (files.real_path(path), *files.backing_chain(path))


def _backing(guest: DomainDefinition) -> Iterator[tuple[str, ...]]:
    """Files of its disks, each with those that libvirt has it built on."""
    for xml in guest.xmls + guest.snapshots:
        yield from ((file, *bases) for file, bases in backing_files(xml).items())


def _check_nvram(guest: Guest, nvram: Sequence[str], files: DiskFiles, twin: str, uses: Mapping[str, str]) -> None:
    for file in nvram:
        if why := twin or uses.get(files.real_path(file)) or files.obstacles.get(file):
            raise Refused(
                f"{guest.name} cannot be destroyed without its NVRAM {file}, which has to stay ({why})",
                place=guest.node,
                remedy=f"on the node: virsh undefine --keep-nvram --managed-save {quote(guest.name)}",
            )


def _judge(own: DomainDefinition, files: DiskFiles, reasons: Mapping[str, str], uses: Mapping[str, str]) -> DestroyPlan:
    """What is to be deleted, and what has to stay, beyond the files for which there are reasons already.

    Files are told apart by where they really are, whatever they are called.
    """
    made = _made(own, files)
    there = [file for file in made if file in files.sizes]
    kept = {file: reasons[file] for file in there if file in reasons}
    kept |= dict.fromkeys(_foreign(own, files, made), _NOT_OURS)
    known = {files.real_path(file) for file in (*kept, *made)}
    backing = {place for file in there for place in files.backing_chain(file)} - known
    kept |= dict.fromkeys(sorted(backing), "a backing file")
    _keep_needed(own, files, there, kept, uses)
    return DestroyPlan(tuple((file, files.sizes[file]) for file in there if file not in kept), tuple(kept.items()))


def _made(own: DomainDefinition, files: DiskFiles) -> tuple[str, ...]:
    """What mclu made for a guest, and its snapshots on top of that; nothing of a guest that mclu did not make.

    A snapshot may have been told to use a file that was there already: whoever gave it a name may have made it, too.
    """
    ours = own_files(own.xmls[0])
    if not ours:
        return ()
    # Where a link leads, somebody else has put it.
    disks = {files.real_path(file) for file in ours if file not in files.links}
    overlays = [
        file
        for xml in own.snapshots
        for file in overlay_files(xml)
        if disks.intersection(files.backing_chain(file)) and is_named_by_libvirt(file, xml, ours)
    ]
    memory = [file for xml in own.snapshots for file in memory_files(xml)]
    snapshots = [file for file in (*overlays, *memory) if file not in files.links]
    return tuple(dict.fromkeys((*ours, *snapshots)))


def _foreign(own: DomainDefinition, files: DiskFiles, made: Sequence[str]) -> Iterator[str]:
    """What a guest has that was not made for it, each file once; also what links lead to that are called like ours."""
    known = {files.real_path(file) for file in made if file not in files.links}
    for file in (*_disks(own), *_noted(own)):
        name = files.real_path(file) if file in made and file in files.links else file
        if name in files.sizes and files.real_path(name) not in known:
            known.add(files.real_path(name))
            yield name
    yield from unnamed_disks(own)


def _keep_needed(
    own: DomainDefinition, files: DiskFiles, there: Sequence[str], kept: dict[str, str], uses: Mapping[str, str]
) -> None:
    """Keep also what others use, and what is needed by anything that is kept."""
    backing = [(files.real_path(file), [files.real_path(base) for base in bases]) for file, *bases in _backing(own)]
    while True:
        needed = dict(uses)
        for name in kept:
            places = [place for top, bases in backing if top == files.real_path(name) for place in bases]
            needed |= dict.fromkeys((*places, *files.backing_chain(name)), f"{name} is built on it")
        more = {
            file: needed[files.real_path(file)]
            for file in there
            if file not in kept and files.real_path(file) in needed
        }
        if not more:
            return
        kept |= more


def require_all_answered(node: Node, guest: Guest, elsewhere: OtherNodes) -> None:
    """Refused if other nodes could not be asked, and nobody decides.

    On shared storage the files may be those of a guest that runs there.
    """
    # What a dry run cannot know yet, the real one will ask.
    if places := " and ".join(fault.place for fault in elsewhere.faults if not isinstance(fault, UnknownUntilUp)):
        told = f"{guest.name} was not destroyed: whether {places} has it, too, cannot be told"
        raise Refused(told, place=node.name, remedy="try again when all answer, or decide at the prompt")


def destroy(node: Node, guest: Guest, elsewhere: OtherNodes, confirmed: DestroyPlan | None = None) -> DestroyPlan:
    """Stop a guest, delete its files and forget it; what that took away, and what is left.

    In this order: if it fails on the way, the guest is still there, and can be destroyed again. MCluError says why.
    What is deleted is looked up now, because others may have come to use it; with `confirmed`, nothing beyond that.
    """
    if confirmed is None:
        require_all_answered(node, guest, elsewhere)
    remains = plan_destroy(node, guest, elsewhere, confirmed)
    node.change_guest(guest.name, "stop", guest.uuid)
    _delete(node, guest, [file for file, _ in remains.delete])
    if not remove_logs(node, remains.logs):
        kept = tuple((log, "only root may delete it") for log in remains.logs)
        remains = remains._replace(leave=remains.leave + kept)
    with suppress(NotFound):  # A guest without a persistent definition has gone by being stopped.
        node.change_guest(guest.name, "undefine", guest.uuid)
    return remains


def _delete(node: Node, guest: Guest, files: list[str]) -> None:
    if not files:
        return
    done = node.run(["rm", "-f", "--", *files])
    if done.status != 0:
        said = done.err.strip().splitlines()
        reason = said[-1] if said else f"exit status {done.status}"
        raise MCluError(
            f"{guest.name} is stopped, but not all of its files could be deleted: {reason}", place=node.name
        )
