"""Destroying a guest: all that is its own, and never a byte that is not."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from mclu_shell.cloud.domainxml import disk_files, own_files
from mclu_shell.cloud.guest import Guest
from mclu_shell.cloud.node import Node
from mclu_shell.errors import MCluError

# Sizes of the files that are there, then the backing files of other guests' disks, as a JSON list per line.
_LOOK = r"""
own=$1; shift
while [ "$own" -gt 0 ]; do
    [ ! -e "$1" ] || stat -L -c 'size %s %n' -- "$1"
    own=$((own - 1)); shift
done
for disk; do
    chain=
    if [ -e "$disk" ]; then chain=$(qemu-img info -U --backing-chain --output=json -- "$disk") || exit 1; fi
    printf 'backing %s\n' "$(printf %s "$chain" | tr -d '\n')"
done
"""


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
    """Which files of a guest are mclu's to delete: made for it, and used by no other guest of its node."""
    definitions = node.fetch(lambda hypervisor: hypervisor.fetch_definitions())
    xml = definitions.pop(guest.name, "<domain/>")
    own, disks = own_files(xml), disk_files(xml)
    others = {name: disk_files(definition) for name, definition in definitions.items()}
    sizes, backing = _look(node, own, sorted({disk for files in others.values() for disk in files}))
    used = {file: name for name, files in others.items() for disk in files for file in (disk, *backing.get(disk, ()))}
    delete = tuple((file, sizes[file]) for file in own if file in sizes and file not in used)
    leave = [(file, f"{used[file]} uses it") for file in own if file in used]
    leave += [(disk, "not made by mclu") for disk in disks if disk not in own]
    return Remains(delete, tuple(leave))


def destroy(node: Node, guest: Guest, remains: Remains) -> None:
    """Stop and undefine a guest, then delete its files; MCluError names what could not be deleted."""
    for verb in ("stop", "undefine"):
        node.change_guest(guest.name, verb)
    files = [file for file, _ in remains.delete]
    if not files:
        return
    done = node.run(["rm", "-f", "--", *files])
    if done.status != 0:
        said = done.err.strip().splitlines()
        reason = said[-1] if said else f"exit status {done.status}"
        raise MCluError(f"{guest.name} is gone, but not all of its files: {reason}", place=node.name)


def _look(node: Node, own: Sequence[str], disks: Sequence[str]) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    """The sizes of files that are there, and the files behind disks."""
    if not own:
        return {}, {}
    done = node.run(["sh", "-c", _LOOK, "mclu-look", str(len(own)), *own, *disks])
    lines = done.out.splitlines()
    if done.status != 0 or len([line for line in lines if line.startswith("backing ")]) != len(disks):
        raise MCluError("cannot tell which files other guests use, so nothing was deleted", place=node.name)
    sizes = {}
    for line in lines:
        if line.startswith("size "):
            _, size, name = line.split(" ", 2)
            sizes[name] = int(size)
    chains = [line.removeprefix("backing ") for line in lines if line.startswith("backing ")]
    return sizes, {disk: _files(chain) for disk, chain in zip(disks, chains, strict=True)}


def _files(chain: str) -> tuple[str, ...]:
    """The files of a backing chain; of a disk that is not there, none."""
    images = json.loads(chain) if chain else []
    return tuple(image["filename"] for image in images)
