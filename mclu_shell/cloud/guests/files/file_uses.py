"""The files that the guests of a node need, with their backing chains."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from mclu_shell.cloud.guests.files.disk_files import DiskFiles
from mclu_shell.cloud.guests.files.file_id import FileId
from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition, noted_files, referenced_files


class FileUse(NamedTuple):
    """A file that a guest needs; `file` is None if it does not exist."""

    path: str
    file: FileId | None
    uuid: str
    guest: str


class FileUses:
    """The uses of files by the guests of a node, indexed for a look-up by each of several hundred guests."""

    def __init__(self, uses: Iterable[FileUse]) -> None:
        self._by_path: defaultdict[str, list[FileUse]] = defaultdict(list)
        self._by_trait: defaultdict[object, list[FileUse]] = defaultdict(list)
        for use in uses:
            self._by_path[use.path].append(use)
            for trait in _traits(use.path, use.file) if use.file and use.file.is_regular else ():
                self._by_trait[trait].append(use)

    def find_path(self, path: str, ignored: Collection[str]) -> str:
        """Return the name of a guest whose definition names exactly this path; empty if there is none."""
        return next((use.guest for use in self._by_path[path] if use.uuid not in ignored), "")

    def find_here(self, file: FileId, ignored: Collection[str]) -> str:
        """Return the name of a guest of this node that needs a file; empty if there is none.

        Guests whose UUIDs are in `ignored` do not count.
        """
        uses = (use for use in self._by_trait[file.inode] if use.file and use.file.key == file.key)
        return next((use.guest for use in uses if use.uuid not in ignored), "")

    def find_elsewhere(self, path: str, file: FileId, ignored: Collection[str]) -> str:
        """Return the name of a guest of this node that may need a file of another node; empty if there is none."""
        return next((use.guest for use in self._find_similar(path, file, ignored)), "")

    def find_mounted(self, path: str, file: FileId, ignored: Collection[str]) -> str:
        """Return the name of a guest that may need a file of this node through another file system; empty if none.

        For example, an overlay or NFS from the node itself shows the files of a local file system under other devices.
        """
        uses = self._find_similar(path, file, ignored)
        return next((use.guest for use in uses if use.file and use.file.device != file.device), "")

    def _find_similar(self, path: str, file: FileId, ignored: Collection[str]) -> Iterator[FileUse]:
        uses = (use for trait in _traits(path, file) for use in self._by_trait[trait] if use.uuid not in ignored)
        return (use for use in uses if use.file and file.may_be(path, use.file, use.path))


def _traits(path: str, file: FileId) -> tuple[object, ...]:
    """Return what two files have in common, at least in part, if `FileId.may_be` is true of them."""
    return file.inode, (file.length, file.modified), path.rpartition("/")[2]


def collect_uses(definitions: Mapping[str, DomainDefinition], files: DiskFiles) -> FileUses:
    """Return the uses of files by guests."""
    return FileUses(use for uuid, guest in definitions.items() for use in _uses(uuid, guest, files))


def _uses(uuid: str, guest: DomainDefinition, files: DiskFiles) -> Iterator[FileUse]:
    for path in {*referenced_files(guest), *noted_files(guest)}:
        for file in (path, *files.backing_chain(path)):
            yield FileUse(file, files.ids.get(file), uuid, guest.name)
