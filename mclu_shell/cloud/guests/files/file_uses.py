"""The files that the guests of a node need, with their backing chains."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from mclu_shell.cloud.guests.files.disk_files import DiskFiles
from mclu_shell.cloud.guests.files.file_id import FileId, base_name
from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition, backing_chains, noted_files, referenced_files


class FileUse(NamedTuple):
    """A file that a guest needs; `file` is None if it does not exist.

    `source` is the key of the file that the guest names, and that needs this one unless it is the same. `is_link` is
    true if the guest needs the file by a symbolic link.
    """

    path: str
    file: FileId | None
    uuid: str
    guest: str
    source: str
    is_link: bool = False

    @property
    def is_direct(self) -> bool:
        """True if the guest itself names the file."""
        return self.file is None or self.file.key == self.source


class FileUses:
    """The uses of files by the guests of a node, indexed for a look-up by each of several hundred guests."""

    def __init__(self, uses: Iterable[FileUse]) -> None:
        self._by_path: defaultdict[str, list[FileUse]] = defaultdict(list)
        self._by_trait: defaultdict[object, list[FileUse]] = defaultdict(list)
        # The file may be on a file system that is not mounted now: its base name decides.
        self._missing: defaultdict[str, list[FileUse]] = defaultdict(list)
        for use in uses:
            self._by_path[use.path].append(use)
            for trait in _traits(use.path, use.file) if use.file and use.file.is_regular else ():
                self._by_trait[trait].append(use)
            if use.file is None:
                self._missing[base_name(use.path)].append(use)

    def find_path(self, path: str) -> list[FileUse]:
        """Return the uses by guests whose definition names exactly this path."""
        return self._by_path[path]

    def find_here(self, path: str, file: FileId) -> Iterator[FileUse]:
        """Yield the uses of a file by guests of this node.

        A file on another file system may be the same: an overlay or NFS from the node itself shows the files of a local
        file system under other devices.
        """
        yield from (use for use in self._by_trait[file.inode] if use.file and use.file.key == file.key)
        yield from (use for use in self._find_similar(path, file) if use.file and use.file.device != file.device)
        yield from self._missing[base_name(path)]

    def find_elsewhere(self, path: str, file: FileId) -> Iterator[FileUse]:
        """Yield the uses by guests of this node that may be of a file of another node."""
        yield from self._find_similar(path, file)
        if not file.is_local:
            yield from self._missing[base_name(path)]

    def _find_similar(self, path: str, file: FileId) -> Iterator[FileUse]:
        uses = (use for trait in _traits(path, file) for use in self._by_trait[trait])
        return (use for use in uses if use.file and file.may_be(path, use.file, use.path))


def _traits(path: str, file: FileId) -> tuple[object, ...]:
    """Return what two files have in common, at least in part, if `FileId.may_be` is true of them."""
    return file.inode, (file.length, file.modified), base_name(path)


def collect_uses(definitions: Mapping[str, DomainDefinition], files: DiskFiles) -> FileUses:
    """Return the uses of files by guests."""
    return FileUses(use for uuid, guest in definitions.items() for use in _uses(uuid, guest, files))


def _uses(uuid: str, guest: DomainDefinition, files: DiskFiles) -> Iterator[FileUse]:
    for path in {*referenced_files(guest), *noted_files(guest)}:
        bases = files.backing_names(path)
        for file in {path, *bases, *map(files.real_path, bases)}:
            yield _use(file, files, uuid, guest.name, path)
    # Definitions may name backing files that the headers of images do not.
    for path, *named in backing_chains(guest):
        yield from (_use(file, files, uuid, guest.name, path) for file in named)


def _use(file: str, files: DiskFiles, uuid: str, guest: str, source: str) -> FileUse:
    return FileUse(file, files.ids.get(file), uuid, guest, files.key(source), file in files.links)
