"""The files that mclu and libvirt made for a guest."""

from collections.abc import Iterator, Sequence

from mclu_shell.cloud.guests.files.disk_files import DiskFiles
from mclu_shell.cloud.hypervisor.domain_files import (
    DomainDefinition,
    file_identities,
    memory_files,
    nvram_files,
    overlay_files,
    overlay_names,
    own_files,
    own_logs,
    referenced_files,
)


def made_files(own: DomainDefinition, files: DiskFiles) -> tuple[str, ...]:
    """Return the files that mclu made for a guest and the snapshots of them; none if mclu did not make the guest.

    A snapshot can use an existing file. So an overlay counts only if libvirt chose its name: a file that the user
    named may have been made by the user.
    """
    own_disks = own_files(own)
    if not own_disks:
        return ()
    # mclu makes no symbolic links: the target of one is not mclu's.
    unproven = unproven_files(own, files)
    proven = [file for file in own_disks if file not in unproven]
    keys = {files.key(file) for file in proven if file not in files.links}
    overlays = [
        file
        for xml in own.snapshots
        for file in overlay_names(xml, own_disks).intersection(overlay_files(xml))
        if own.names.is_snapshot_file(file, own.name) and keys.intersection(map(files.key, files.backing_chain(file)))
    ]
    memory = [
        file
        for xml in own.snapshots
        for file in memory_files(xml)
        if own.names.is_snapshot_file(file, own.name) and _is_younger(files, file, proven)
    ]
    more = [file for file in (*overlays, *memory, *_made_nvram(own, files, proven)) if file not in files.links]
    return tuple(dict.fromkeys((*own_disks, *more)))


def existing_logs(own: DomainDefinition, files: DiskFiles) -> list[str]:
    """Return the guest's console logs, including those whose existence the login cannot see."""
    named = referenced_files(own)
    logs = [log for log in own_logs(own) if log in named]
    return [log for log in logs if log in files.hidden or (log in files.sizes and log not in files.obstacles)]


def _made_nvram(own: DomainDefinition, files: DiskFiles, own_disks: Sequence[str]) -> Iterator[str]:
    """Yield the NVRAM file that libvirt made for a guest: libvirt chose its name, but uses a file that exists."""
    for file in nvram_files(own.xmls[0]):
        if own.names.is_nvram(file, own.name) and _is_younger(files, file, own_disks):
            yield file


def _is_younger(files: DiskFiles, file: str, own_disks: Sequence[str]) -> bool:
    """Return whether a file is younger than the guest's first file; an older one is that of an earlier guest."""
    first = next((files.ids[disk] for disk in own_disks if disk in files.ids), None)
    return first is not None and file in files.ids and files.ids[file].is_younger_than(first)


def unproven_files(own: DomainDefinition, files: DiskFiles) -> list[str]:
    """Return the noted files that the guest does not use, and that may be others than mclu made.

    The guest's disk may have been moved, and another file may have got its path. mclu notes the identity of each file
    that it makes.
    """
    identities = file_identities(own)
    named = referenced_files(own)
    used = {files.key(base) for file in named for base in (file, *files.backing_chain(file))}
    return [
        file
        for file in own_files(own)
        if file in files.sizes
        and file not in named
        and (file in files.links or files.key(file) not in used)
        and (file in files.links or not identities[file] or files.ids[file].identity != identities[file])
    ]
