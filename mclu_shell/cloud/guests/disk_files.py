"""Files on a node as disks are made of them: where each really is, how large it is, and what it is built on."""

import json
import re
import stat
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import MCluError

# Three lines per file: its blocks of 512 bytes, its names (hard links), its mode, and whether something is mounted on
# it, or nothing if it is not there; its place; what QEMU knows of it, as JSON. The first `images` of the files are disk
# images, of which all must be readable if it is `strict`. A drive without a medium cannot be opened, and need not be.
_SCRIPT = r"""
strict=$1 images=$2; shift 2
for file; do
    known=$(stat -c '%b %h %f' -- "$file" 2>/dev/null)
    info=
    if [ "$images" -gt 0 ]; then
        images=$((images - 1))
        if [ -f "$file" ] || [ -b "$file" ]; then
            info=$(qemu-img info -U --output=json -- "$file") || [ ! -f "$file" ] || [ -z "$strict" ] || exit 1
        fi
        [ -L "$file" ] || ! mountpoint -q -- "$file" 2>/dev/null || known="$known mounted"
    fi
    echo "$known"
    readlink -f -- "$file" || printf '%s\n' "$file"
    printf '%s' "$info" | tr -d '\n'; echo
done
"""

# The files of directories that begin as images do which can be built on others: QCOW with the offset of a base's name,
# QED, and VMDK. To have QEMU look at every file would take ten times as long. Each file has one name only: directories
# are named without links, and links in them left out.
_BUILT_SCRIPT = r"""
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
    """Files by the names that they were asked for by.

    `sizes` has those that are there, with the bytes that deleting that name would free; `links` those that are symbolic
    links; `obstacles` what is no file to be deleted, and why. `bases` has what files are built on, by their places.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    real_paths: dict[str, str] = field(default_factory=dict)
    backing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    links: set[str] = field(default_factory=set)
    obstacles: dict[str, str] = field(default_factory=dict)

    def real_path(self, file: str) -> str:
        """Where a file really is: the same for all its names."""
        return self.real_paths.get(file, file)

    def backing_chain(self, file: str) -> tuple[str, ...]:
        """The places of all files that a disk is built on."""
        found: dict[str, None] = {}
        todo = list(self.backing.get(self.real_path(file), ()))
        while todo:
            base = self.real_path(todo.pop())
            if base not in found:
                found[base] = None
                todo += self.backing.get(base, ())
        return tuple(found)


def inspect_files(node: Node, images: Iterable[str], others: Iterable[str]) -> DiskFiles:
    """Look at disk images and what they are built on, and at other files; MCluError if that cannot be told."""
    files = DiskFiles()
    opened: set[str] = set()
    todo, rest = set(images), set(others) - set(images)
    while todo or rest:
        _look(node, sorted(todo), sorted(rest), files)
        opened |= todo
        found = {base for bases in files.backing.values() for base in bases}
        # What a link leads to is a file of its own.
        found |= {files.real_paths[link] for link in files.links & opened}
        todo, rest = found - opened, set()
    return files


def find_overlays(node: Node, wanted: Sequence[str], files: DiskFiles, gone: Collection[str] = ()) -> dict[str, str]:
    """Images beside some files that are built on them, whoever made them: by the places of what they are built on.

    Only what `files` does not know yet is looked at, and nothing that is as good as `gone`. What else is there is
    nobody's business, also if it is no image.
    """
    places = {files.real_path(file) for file in wanted}
    directories = {file.rpartition("/")[0] or "/" for file in places.union(wanted)}
    if not directories:
        return {}
    listed = node.look_with(["sh", "-c", _BUILT_SCRIPT, "mclu-look", *sorted(directories)]).out.split("\n")
    images = [file for file in listed if file and file not in gone and not files.backing.get(file)]
    if images:
        _look(node, images, [], files, strict=False)
    bases = {base for image in images for base in files.backing[files.real_path(image)]} - files.real_paths.keys()
    if bases:
        _look(node, [], sorted(bases), files)
    return {place: image for image in images for place in files.backing_chain(image) if place in places}


def _look(node: Node, images: list[str], others: list[str], files: DiskFiles, *, strict: bool = True) -> None:
    asked = images + others
    done = node.look_with(["sh", "-c", _SCRIPT, "mclu-look", "strict" if strict else "", str(len(images)), *asked])
    # Not splitlines: a name may hold what it takes for the end of a line.
    lines = done.out.removesuffix("\n").split("\n")
    if done.status != 0 or len(lines) != 3 * len(asked):
        said = (done.err.strip().splitlines() or ["no answer"])[-1]
        raise MCluError(f"cannot tell what is built on what, so nothing was deleted: {said}", place=node.name)
    for file, known, place, info in zip(asked, lines[::3], lines[1::3], lines[2::3], strict=True):
        files.real_paths[file] = place
        # Seen from another name, a base that is given relative to its disk may be another file.
        files.backing[place] = tuple(dict.fromkeys(files.backing.get(place, ()) + _bases(info)))
        if known:
            _note(file, known.split(), files)


def _note(file: str, known: list[str], files: DiskFiles) -> None:
    blocks, names, mode = int(known[0]), int(known[1]), int(known[2], 16)
    files.sizes[file] = blocks << 9 if names == 1 and stat.S_ISREG(mode) else 0
    if stat.S_ISLNK(mode):
        files.links.add(file)
    elif not stat.S_ISREG(mode):
        is_device = stat.S_ISBLK(mode) or stat.S_ISCHR(mode)
        files.obstacles[file] = "a directory" if stat.S_ISDIR(mode) else "a device" if is_device else "not a file"
    elif "mounted" in known:
        files.obstacles[file] = "something is mounted on it"


def _bases(info: str) -> tuple[str, ...]:
    """The file that an image is directly built on (qemu-img's JSON), if it is built on any."""
    known = json.loads(info) if info else {}
    base = known.get("full-backing-filename") or known.get("backing-filename") or ""
    # QEMU has a way to write the options of a file as its name.
    named = re.findall(r'"(/[^"]*)"', base) if base.startswith("json:") else [base.removeprefix("file:")]
    return tuple(file for file in named if file.startswith("/"))
