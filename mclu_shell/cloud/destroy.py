"""Destroying a guest: all that is its own, and never a byte that is not."""

from contextlib import suppress
from dataclasses import dataclass

from mclu_shell.cloud.diskfiles import DiskFiles, look_at_files
from mclu_shell.cloud.guest import Guest
from mclu_shell.cloud.guestfiles import Definition, disk_files, named_paths, overlay_files, own_files
from mclu_shell.cloud.node import Node
from mclu_shell.errors import MCluError, NotFound


@dataclass(frozen=True, slots=True)
class Remains:
    """What destroying a guest takes away, with sizes in bytes, and what it leaves, with the reason."""

    delete: tuple[tuple[str, int], ...]
    leave: tuple[tuple[str, str], ...]

    @property
    def size_bytes(self) -> int:
        """All that is freed."""
        return sum(size for _, size in self.delete)


def find_remains(node: Node, guest: Guest) -> Remains:
    """Which files of a guest are its own: made for it by mclu or by its snapshots, and needed by nothing that stays."""
    definitions = node.fetch(lambda hypervisor: hypervisor.fetch_definitions())
    own = definitions.pop(guest.uuid, None)
    if own is None:
        raise NotFound(f"{guest.name} has gone meanwhile", place=node.name)
    made = own_files(own.xmls[0]) + tuple(file for xml in own.snapshots for file in overlay_files(xml))
    disks = _disks(own, own.xmls)
    others = list(definitions.values())
    images = {*made, *disks, *(disk for other in others for disk in _disks(other, other.xmls + other.snapshots))}
    files = look_at_files(node, images, {path for other in others for path in _paths(other)})
    return _sort(files, made, disks, {other.name: _paths(other) for other in others})


def _disks(guest: Definition, xmls: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([disk for xml in xmls for disk in disk_files(xml)] + list(guest.volumes)))


def _paths(guest: Definition) -> set[str]:
    """All that a guest names, be it as a disk, a kernel, or in its snapshots."""
    return {path for xml in guest.xmls + guest.snapshots for path in named_paths(xml)} | {*guest.volumes}


def _sort(files: DiskFiles, made: tuple[str, ...], disks: tuple[str, ...], others: dict[str, set[str]]) -> Remains:
    """What is to be deleted, and what not. Files are told apart by where they really are, whatever they are called."""
    ours = {files.place(file) for file in made}
    foreign = [disk for disk in disks if files.place(disk) not in ours]
    needed = {place: f"{disk} is built on it" for disk in foreign for place in files.behind(disk)}
    for name, paths in others.items():
        needed |= {place: f"{name} uses it" for path in paths for place in (files.place(path), *files.behind(path))}
    there = [file for file in dict.fromkeys(made) if file in files.sizes]
    leave = {file: needed[files.place(file)] for file in there if files.place(file) in needed}
    leave |= dict.fromkeys(foreign, "not made by mclu")
    backing = {place for file in there for place in files.behind(file)}
    leave |= dict.fromkeys(sorted(backing - ours - {files.place(disk) for disk in foreign}), "a backing file")
    delete = tuple((file, files.sizes[file]) for file in there if file not in leave)
    return Remains(delete, tuple(leave.items()))


def destroy(node: Node, guest: Guest, confirmed: Remains | None = None) -> Remains:
    """Stop a guest, delete its files and forget it; what that took away, and what is left.

    In this order: if it fails on the way, the guest is still there, and can be destroyed again. MCluError says why.
    What is deleted is looked up now, because others may have come to use it; with `confirmed`, nothing beyond that.
    """
    remains = find_remains(node, guest)
    if confirmed is not None:
        late = tuple((file, "made meanwhile") for file, _ in remains.delete if file not in dict(confirmed.delete))
        delete = tuple((file, size) for file, size in remains.delete if file in dict(confirmed.delete))
        remains = Remains(delete, remains.leave + late)
    node.change_guest(guest.name, "stop", guest.uuid)
    _delete(node, guest, [file for file, _ in remains.delete])
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
