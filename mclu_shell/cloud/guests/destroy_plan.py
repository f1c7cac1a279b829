"""Selection of the files that are deleted with a guest."""

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import NamedTuple

from mclu_shell.cloud.guests.disk_files import DiskFiles, find_overlays, inspect_files
from mclu_shell.cloud.guests.other_nodes import DEFINITIONS_TIMEOUT_S, OtherNodes
from mclu_shell.cloud.hypervisor.domain_files import (
    DomainDefinition,
    backing_files,
    disk_files,
    disks_without_path,
    is_named_by_libvirt,
    memory_files,
    nvram_files,
    overlay_files,
    own_files,
    own_logs,
    referenced_files,
)
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import NotFound, Refused

_NOT_OURS = "not made by mclu"


class DestroyPlan(NamedTuple):
    """Files to delete with their sizes in bytes, files to keep with the reasons, and console logs to delete.

    libvirt keeps rotated logs beside `logs`. A log that cannot be deleted is not an error.
    """

    delete: tuple[tuple[str, int], ...]
    keep: tuple[tuple[str, str], ...]
    logs: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Disk space that is freed."""
        return sum(size for _, size in self.delete)


class PlannedRemovals(NamedTuple):
    """Guests (UUIDs) and files that earlier lines of a dry run would have removed; empty in a real run."""

    guests: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()


_NO_REMOVALS = PlannedRemovals()


def plan_destroy(
    node: Node,
    guest: Guest,
    elsewhere: OtherNodes,
    confirmed: DestroyPlan | None = None,
    removed: PlannedRemovals = _NO_REMOVALS,
) -> DestroyPlan:
    """Choose the files to delete: those that mclu or snapshots made for the guest and that nothing else needs.

    With `confirmed`, keep every file that is not deleted by that plan. Raise Refused if libvirt would delete an NVRAM
    file that must be kept.
    """
    definitions = node.query(lambda client: client.fetch_definitions(), DEFINITIONS_TIMEOUT_S)
    others = {uuid: definition for uuid, definition in definitions.items() if uuid not in removed.guests}
    own = others.pop(guest.uuid, None)
    if own is None:
        raise NotFound(f"{guest.name} no longer exists", place=node.name)
    files = _inspect(node, own, list(others.values()))
    uses = {path: f"{other.name} uses it" for other in others.values() for path in _needed_paths(other, files)}
    made = _made_files(own, files)
    nvram = [file for xml in own.xmls for file in nvram_files(xml) if file in files.sizes]
    existing = [file for file in made if file in files.sizes]
    remote = elsewhere.find_users(node, [*existing, *nvram])
    uses |= {files.real_path(file): reason for file, reason in remote.items()}
    overlays = find_overlays(node, existing, files, removed.files)
    uses = {path: _backing_of(image) for path, image in overlays.items()} | uses
    duplicate = elsewhere.describe_duplicate(guest)
    _check_nvram(guest, nvram, files, duplicate, uses)
    reasons = _unconfirmed(made, confirmed) | files.obstacles | (dict.fromkeys(made, duplicate) if duplicate else {})
    shared = {path for other in others.values() for path in referenced_files(other)}
    logs = tuple(log for log in own_logs(own.xmls[0]) if log not in shared)
    return _make_plan(own, files, reasons, uses)._replace(logs=logs)


def _backing_of(image: str) -> str:
    return f"a backing file of {image}"


def _unconfirmed(made: Sequence[str], confirmed: DestroyPlan | None) -> dict[str, str]:
    """Return the reasons to keep files that the user has not agreed to delete."""
    if confirmed is None:
        return {}
    deleted, kept = dict(confirmed.delete), dict(confirmed.keep)
    return {file: kept.get(file, "made after the confirmation") for file in made if file not in deleted}


def _inspect(node: Node, own: DomainDefinition, others: Sequence[DomainDefinition]) -> DiskFiles:
    images = {*_noted_files(own), *(file for guest in (own, *others) for file in _disks(guest))}
    images |= {file for chain in _backing_chains(own) for file in chain}
    nvram = {file for xml in own.xmls for file in nvram_files(xml)}
    return inspect_files(node, images, nvram.union(*map(referenced_files, others)))


def _noted_files(guest: DomainDefinition) -> tuple[str, ...]:
    """Return the files that mclu or a snapshot may have made for a guest."""
    snapshots = [file for xml in guest.snapshots for file in (*overlay_files(xml), *memory_files(xml))]
    return tuple(dict.fromkeys((*own_files(guest.xmls[0]), *snapshots)))


def _disks(guest: DomainDefinition) -> tuple[str, ...]:
    """Return a guest's disks, including those at the time of each snapshot."""
    disks = [disk for xml in guest.xmls + guest.snapshots for disk in disk_files(xml)]
    return tuple(dict.fromkeys([*disks, *guest.volumes]))


def _needed_paths(guest: DomainDefinition, files: DiskFiles) -> Iterator[str]:
    """Yield the real paths of all files that a guest refers to, and of their backing chains."""
    for path in referenced_files(guest):
        yield from (files.real_path(path), *files.backing_chain(path))


def _backing_chains(guest: DomainDefinition) -> Iterator[tuple[str, ...]]:
    """Yield each disk file that has backing files in libvirt's XML, followed by those."""
    for xml in guest.xmls + guest.snapshots:
        yield from ((file, *bases) for file, bases in backing_files(xml).items())


def _check_nvram(guest: Guest, nvram: Sequence[str], files: DiskFiles, duplicate: str, uses: Mapping[str, str]) -> None:
    for file in nvram:
        if reason := duplicate or uses.get(files.real_path(file)) or files.obstacles.get(file):
            raise Refused(
                f"cannot destroy {guest.name}: its NVRAM {file} must be kept ({reason})",
                place=guest.node,
                remedy=f"on the node: virsh undefine --keep-nvram --managed-save {quote(guest.name)}",
            )


def _make_plan(
    own: DomainDefinition, files: DiskFiles, reasons: Mapping[str, str], uses: Mapping[str, str]
) -> DestroyPlan:
    """Divide a guest's files into those to delete and those to keep; `reasons` has files that must be kept.

    Files are compared by their real paths.
    """
    made = _made_files(own, files)
    existing = [file for file in made if file in files.sizes]
    kept = {file: reasons[file] for file in existing if file in reasons}
    kept |= dict.fromkeys(_foreign_files(own, files, made), _NOT_OURS)
    listed = {files.real_path(file) for file in (*kept, *made)}
    backing = {path for file in existing for path in files.backing_chain(file)} - listed
    kept |= dict.fromkeys(sorted(backing), "a backing file")
    _keep_needed(own, files, existing, kept, uses)
    return DestroyPlan(tuple((file, files.sizes[file]) for file in existing if file not in kept), tuple(kept.items()))


def _made_files(own: DomainDefinition, files: DiskFiles) -> tuple[str, ...]:
    """Return the files that mclu made for a guest and the snapshots of them; none if mclu did not make the guest.

    A snapshot can use an existing file. So an overlay counts only if libvirt chose its name: a file that the user
    named may have been made by the user.
    """
    own_disks = own_files(own.xmls[0])
    if not own_disks:
        return ()
    # mclu makes no symbolic links: the target of one is not mclu's.
    paths = {files.real_path(file) for file in own_disks if file not in files.links}
    overlays = [
        file
        for xml in own.snapshots
        for file in overlay_files(xml)
        if paths.intersection(files.backing_chain(file)) and is_named_by_libvirt(file, xml, own_disks)
    ]
    memory = [file for xml in own.snapshots for file in memory_files(xml)]
    snapshots = [file for file in (*overlays, *memory) if file not in files.links]
    return tuple(dict.fromkeys((*own_disks, *snapshots)))


def _foreign_files(own: DomainDefinition, files: DiskFiles, made: Sequence[str]) -> Iterator[str]:
    """Yield once each file of a guest that was not made for it, including the target of a link in place of its file."""
    listed = {files.real_path(file) for file in made if file not in files.links}
    for file in (*_disks(own), *_noted_files(own)):
        name = files.real_path(file) if file in made and file in files.links else file
        if name in files.sizes and files.real_path(name) not in listed:
            listed.add(files.real_path(name))
            yield name
    yield from disks_without_path(own)


def _keep_needed(
    own: DomainDefinition, files: DiskFiles, existing: Sequence[str], kept: dict[str, str], uses: Mapping[str, str]
) -> None:
    """Add to `kept` the files that others use, and the backing files of all that is kept."""
    chains = [
        (files.real_path(file), [files.real_path(base) for base in bases]) for file, *bases in _backing_chains(own)
    ]
    while True:
        needed = dict(uses)
        for name in kept:
            bases = [base for top, chain in chains if top == files.real_path(name) for base in chain]
            needed |= dict.fromkeys((*bases, *files.backing_chain(name)), _backing_of(name))
        more = {
            file: needed[files.real_path(file)]
            for file in existing
            if file not in kept and files.real_path(file) in needed
        }
        if not more:
            return
        kept |= more
