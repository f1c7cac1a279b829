"""Disk files on a node: real paths, sizes and backing files."""

import json
import re
import stat
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import MCluError

# Prints three lines per file. The first has its blocks of 512 bytes, the number of its hard links, its mode, and
# "mounted" for a mount point; it is empty if the file does not exist. The second is its real path, the third qemu-img's
# JSON. The first `images` of the files are disk images; with `strict`, all must be readable. A drive without a medium
# cannot be opened, which is no error.
_SCRIPT = r"""
strict=$1 images=$2; shift 2
for file; do
    status=$(stat -c '%b %h %f' -- "$file" 2>/dev/null)
    info=
    if [ "$images" -gt 0 ]; then
        images=$((images - 1))
        if [ -f "$file" ] || [ -b "$file" ]; then
            info=$(qemu-img info -U --output=json -- "$file") || [ ! -f "$file" ] || [ -z "$strict" ] || exit 1
        fi
        [ -L "$file" ] || ! mountpoint -q -- "$file" 2>/dev/null || status="$status mounted"
    fi
    echo "$status"
    readlink -f -- "$file" || printf '%s\n' "$file"
    printf '%s' "$info" | tr -d '\n'; echo
done
"""

# Prints the files of some directories that may have a backing file: by their magic numbers QCOW, if the offset of the
# backing file's name is not 0, QED, and VMDK. Running qemu-img on every file would take ten times as long. Symbolic
# links are resolved or skipped, so each file has one name.
_FIND_SCRIPT = r"""
for directory; do readlink -f -- "$directory"; done | sort -u | while IFS= read -r directory; do
    find "$directory" -maxdepth 1 -type f ! -name '*
*' -exec sh -c '
        for file; do
            case "$(od -An -v -tx1 -N16 -- "$file")" in
                " 51 46 49 fb "*" 00 00 00 00 00 00 00 00") ;;
                " 51 46 49 fb "* | " 51 45 44 00 "* | " 4b 44 4d 56 "*) printf "%s\n" "$file" ;;
            esac
        done' sh {} + 2>/dev/null
done
"""


@dataclass(frozen=True, slots=True)
class DiskFiles:
    """Files by the names that were inspected.

    `sizes` has the files that exist, with the bytes that deletion of that name would free. `links` are symbolic links,
    `obstacles` are the reasons why a file must not be deleted. `backing` has the backing files by real path.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    real_paths: dict[str, str] = field(default_factory=dict)
    backing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    links: set[str] = field(default_factory=set)
    obstacles: dict[str, str] = field(default_factory=dict)

    def real_path(self, file: str) -> str:
        """Return the real path of a file, which is the same for all its names."""
        return self.real_paths.get(file, file)

    def backing_chain(self, file: str) -> tuple[str, ...]:
        """Return the real paths of a disk's backing files, direct and indirect."""
        chain: dict[str, None] = {}
        todo = list(self.backing.get(self.real_path(file), ()))
        while todo:
            base = self.real_path(todo.pop())
            if base not in chain:
                chain[base] = None
                todo += self.backing.get(base, ())
        return tuple(chain)


def inspect_files(node: Node, images: Iterable[str], others: Iterable[str]) -> DiskFiles:
    """Inspect disk images with their backing chains, and other files; MCluError if an image cannot be read."""
    files = DiskFiles()
    opened: set[str] = set()
    todo, rest = set(images), set(others) - set(images)
    while todo or rest:
        _inspect(node, sorted(todo), sorted(rest), files)
        opened |= todo
        referenced = {base for bases in files.backing.values() for base in bases}
        # The target of a link is a file of its own.
        referenced |= {files.real_paths[link] for link in files.links & opened}
        todo, rest = referenced - opened, set()
    return files


def find_overlays(node: Node, targets: Sequence[str], files: DiskFiles, gone: Collection[str] = ()) -> dict[str, str]:
    """Find images in the directories of `targets` that have one as backing file; return them by its real path.

    Images that `files` already covers are not inspected again, nor are those in `gone`. Files that are unreadable or
    no images are ignored: they belong to the user.
    """
    paths = {files.real_path(file) for file in targets}
    directories = {file.rpartition("/")[0] or "/" for file in paths.union(targets)}
    if not directories:
        return {}
    output = node.run_read_only(["sh", "-c", _FIND_SCRIPT, "mclu-look", *sorted(directories)]).out
    images = [file for file in output.split("\n") if file and file not in gone and not files.backing.get(file)]
    if images:
        _inspect(node, images, [], files, strict=False)
    bases = {base for image in images for base in files.backing[files.real_path(image)]} - files.real_paths.keys()
    if bases:
        _inspect(node, [], sorted(bases), files)
    return {path: image for image in images for path in files.backing_chain(image) if path in paths}


def _inspect(node: Node, images: list[str], others: list[str], files: DiskFiles, *, strict: bool = True) -> None:
    names = images + others
    done = node.run_read_only(["sh", "-c", _SCRIPT, "mclu-look", "strict" if strict else "", str(len(images)), *names])
    # splitlines() would also split at other separators, which a file name may contain.
    lines = done.out.removesuffix("\n").split("\n")
    if done.status != 0 or len(lines) != 3 * len(names):
        reason = (done.err.strip().splitlines() or ["incomplete output"])[-1]
        raise MCluError(f"cannot determine backing files, nothing was deleted: {reason}", place=node.name)
    for file, status, real_path, info in zip(names, lines[::3], lines[1::3], lines[2::3], strict=True):
        files.real_paths[file] = real_path
        # A relative backing file depends on the name by which its disk was opened: collect those of all names.
        files.backing[real_path] = tuple(dict.fromkeys(files.backing.get(real_path, ()) + _parse_backing(info)))
        if status:
            _add_status(file, status.split(), files)


def _add_status(file: str, status: list[str], files: DiskFiles) -> None:
    blocks, hard_links, mode = int(status[0]), int(status[1]), int(status[2], 16)
    files.sizes[file] = blocks << 9 if hard_links == 1 and stat.S_ISREG(mode) else 0
    if stat.S_ISLNK(mode):
        files.links.add(file)
    elif not stat.S_ISREG(mode):
        is_device = stat.S_ISBLK(mode) or stat.S_ISCHR(mode)
        is_directory = stat.S_ISDIR(mode)
        files.obstacles[file] = "a directory" if is_directory else "a device" if is_device else "not a regular file"
    elif "mounted" in status:
        files.obstacles[file] = "a mount point"


def _parse_backing(info: str) -> tuple[str, ...]:
    """Return the direct backing files in the JSON of qemu-img info."""
    image = json.loads(info) if info else {}
    base = image.get("full-backing-filename") or image.get("backing-filename") or ""
    # QEMU writes a backing file with options as "json:{...}".
    names = re.findall(r'"(/[^"]*)"', base) if base.startswith("json:") else [base.removeprefix("file:")]
    return tuple(file for file in names if file.startswith("/"))
