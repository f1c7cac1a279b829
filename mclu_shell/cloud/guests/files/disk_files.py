"""Disk files on a node: identities, sizes, and the files that images refer to."""

import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mclu_shell.cloud.guests.files.file_id import FileId
from mclu_shell.cloud.guests.files.file_report import FileReport, find_images, report_files
from mclu_shell.cloud.guests.files.image_formats import RAW, UNKNOWN, known_format
from mclu_shell.cloud.hypervisor.image_names import UndecodableName, find_paths
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import MCluError

# A command on the node for each link. QEMU opens every file of a chain, and the usual limit of open files is 1024.
_LONGEST_CHAIN = 200


@dataclass(frozen=True, slots=True)
class DiskFiles:
    """Files by the names that were inspected.

    `sizes` has the files that exist, with the bytes that deletion of that name would free. `ids` are their identities,
    `links` are symbolic links. `obstacles` are the reasons why a file must not be deleted, `unreadable` the reasons why
    the backing files of an image are unknown. `backing` has, by key, the files that an image refers to; `guesses`
    are names that count only if they exist, `undecoded` images that may refer to any file. `opened` are the files that
    were read, `hidden` files of unknown existence in directories that the login must not read. `formats` are those
    that guests and other images state.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    ids: dict[str, FileId] = field(default_factory=dict)
    real_paths: dict[str, str] = field(default_factory=dict)
    backing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    links: set[str] = field(default_factory=set)
    obstacles: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    guesses: set[str] = field(default_factory=set)
    undecoded: set[str] = field(default_factory=set)
    formats: dict[str, str] = field(default_factory=dict)

    def key(self, file: str) -> str:
        """Return a text that is the same for all paths of a file; that of a missing file is its path."""
        return self.ids[file].key if file in self.ids else file

    def find_names(self, key: str) -> list[str]:
        """Return the existing files of a key."""
        return [file for file, known in self.ids.items() if known.key == key]

    def real_path(self, file: str) -> str:
        """Return the path of a file without symbolic links."""
        return self.real_paths.get(file, file)

    def backing_chain(self, file: str) -> tuple[str, ...]:
        """Return the real paths of the files that an image needs, directly and indirectly."""
        chain = {self.key(base): self.real_path(base) for base in self.backing_names(file)}
        return tuple(chain.values())

    def backing_names(self, file: str) -> tuple[str, ...]:
        """Return the names of the files that an image needs as the images have them, which may be symbolic links."""
        names: dict[str, None] = {}
        seen: set[str] = set()
        todo = list(self.backing.get(self.key(file), ()))
        while todo:
            base = todo.pop()
            names[base] = None
            if self.key(base) not in seen:
                seen.add(self.key(base))
                todo += self.backing.get(self.key(base), ())
        return tuple(names)


def inspect_files(
    node: Node, images: Iterable[str], others: Iterable[str], formats: Mapping[str, str] = MappingProxyType({})
) -> DiskFiles:
    """Inspect disk images and other files with their backing chains; names that are no absolute paths are ignored.

    Other files may be images, too. It is no error if the login must not read one. Raw files by `formats` are not read.
    """
    files = DiskFiles(formats=dict(formats))
    _inspect_chains(node, files, images, others)
    return files


def _inspect_chains(node: Node, files: DiskFiles, images: Iterable[str], others: Iterable[str]) -> None:
    todo = {file for file in images if file.startswith("/")}
    rest = {file for file in others if file.startswith("/")} - todo
    certain = set(todo)
    for _ in range(_LONGEST_CHAIN):
        if not (todo or rest):
            break
        _add(files, report_files(node, sorted(todo), sorted(rest), files.formats), todo)
        files.opened.update(todo, rest)
        for file in todo | rest:
            files.formats.setdefault(files.real_path(file), files.formats.get(file, UNKNOWN))
        referenced = {base for bases in files.backing.values() for base in bases}
        # A chain is shown by real paths, and the target of a link is a file of its own.
        certain |= {files.real_path(file) for file in certain if file in files.ids} | (referenced - files.guesses)
        rest = {files.real_path(file) for file in files.opened if file in files.ids} | files.guesses
        todo, rest = certain - files.opened, rest - certain - files.opened
    else:
        raise MCluError(f"a chain of more than {_LONGEST_CHAIN} backing files", place=node.name)
    guesses = files.guesses - certain
    for key, bases in files.backing.items():
        files.backing[key] = tuple(base for base in bases if base in files.ids or base not in guesses)


def find_overlays(node: Node, targets: Iterable[str], files: DiskFiles) -> dict[str, tuple[str, ...]]:
    """Find the images in the directories of `targets` that need one of them; return the images by its key.

    Images that `files` already covers are not returned. Files that are unreadable or no images are ignored: they
    belong to the user. An image that may refer to any file needs all of them.
    """
    keys = {files.key(file): file for file in targets if file in files.ids}
    paths = {files.real_path(file) for file in keys.values()}.union(targets)
    directories = {file.rpartition("/")[0] or "/" for file in paths}
    # The images that are known belong to guests.
    named, odd = find_images(node, sorted(directories))
    images = [image for image in named if image not in files.opened]
    known = set(files.unreadable)
    for image in [image for image in odd if image not in files.opened]:
        images.append(image)
        add_references(files, image, odd[image])
    _inspect_chains(node, files, set(images) - odd.keys(), ())
    for image in files.unreadable.keys() - known:
        del files.unreadable[image]
    overlays: dict[str, tuple[str, ...]] = {}
    for image in images:
        chain = files.backing_chain(image)
        is_decoded = files.undecoded.isdisjoint((image, *chain))
        for key in {files.key(base) for base in chain} & keys.keys() if is_decoded else keys:
            overlays[key] = (*overlays.get(key, ()), image)
    return overlays


def _add(files: DiskFiles, report: FileReport, images: Collection[str]) -> None:
    files.ids.update(report.ids)
    files.real_paths.update(report.real_paths)
    files.unreadable.update(report.unreadable)
    files.hidden.update(report.hidden)
    for file, image in report.images.items():
        add_references(files, file, image)
    for file, (blocks, hard_links, mode) in report.names.items():
        files.sizes[file] = blocks << 9 if hard_links == 1 and stat.S_ISREG(mode) else 0
        if stat.S_ISLNK(mode):
            files.links.add(file)
        elif not stat.S_ISREG(mode):
            files.obstacles[file] = _obstacle(mode)
        elif file in images and files.real_path(file) in report.mounts:
            files.obstacles[file] = "a mount point"


def add_references(files: DiskFiles, file: str, info: object) -> None:
    """Add the files that an image refers to, from the JSON of qemu-img info."""
    # A relative backing file depends on the name by which its disk was opened: collect those of all names.
    key = files.key(file)
    try:
        found = [(find_paths(name, file.rpartition("/")[0]), kind) for name, kind in _references(info)]
    except UndecodableName:
        files.unreadable[file] = "cannot decode the name of its backing file"
        files.undecoded.add(file)
        return
    for paths, kind in found:
        files.guesses.update(paths.guesses)
        for base in paths.certain:
            files.formats.setdefault(base, kind)
    bases = (path for paths, _ in found for path in (*paths.certain, *paths.guesses))
    files.backing[key] = tuple(dict.fromkeys((*files.backing.get(key, ()), *bases)))


def _obstacle(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a device" if stat.S_ISBLK(mode) or stat.S_ISCHR(mode) else "not a regular file"


def _references(info: object) -> Iterator[tuple[str, str]]:
    """Yield the names of files that an image refers to, with their formats, from the JSON of qemu-img info."""
    if not isinstance(info, dict):
        return
    name = str(info.get("full-backing-filename") or info.get("backing-filename") or "")
    # In other names, the format is that of a node, which may have several files.
    is_path = not name.startswith("json:")
    yield name, known_format(info.get("backing-filename-format")) if is_path else UNKNOWN
    # They have the guest's data from their beginning, and refer to no other files.
    yield from ((extent, RAW) for extent in _extents(info))


def _extents(info: dict[str, object]) -> list[str]:
    """Return the external data file of a qcow2 image, or the extents of a VMDK image."""
    specific = info.get("format-specific")
    data = specific.get("data") if isinstance(specific, dict) else None
    if not isinstance(data, dict):
        return []
    extents = data.get("extents")
    extents = extents if isinstance(extents, list) else []
    names = [extent.get("filename") for extent in extents if isinstance(extent, dict)]
    return [name for name in (data.get("data-file"), *names) if isinstance(name, str)]
