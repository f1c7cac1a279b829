"""Files on a node as disks are made of them: where each really is, how large it is, and what it is built on."""

import json
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

from mclu_shell.cloud.node import Node
from mclu_shell.errors import MCluError

# Three lines per file: its blocks of 512 bytes, its names (hard links), its mode, and whether something is mounted on
# it, or nothing if it is not there; its place; what QEMU knows of it, as JSON. The first `images` of the files are disk
# images. A drive without a medium cannot be opened, and need not be.
_SCRIPT = r"""
images=$1; shift
for file; do
    known=$(stat -c '%b %h %f' -- "$file" 2>/dev/null)
    info=
    if [ "$images" -gt 0 ]; then
        images=$((images - 1))
        if [ -f "$file" ] || [ -b "$file" ]; then
            info=$(qemu-img info -U --output=json -- "$file") || [ ! -f "$file" ] || exit 1
        fi
        [ -L "$file" ] || ! mountpoint -q -- "$file" 2>/dev/null || known="$known mounted"
    fi
    echo "$known"
    readlink -f -- "$file" || printf '%s\n' "$file"
    printf '%s' "$info" | tr -d '\n'; echo
done
"""


@dataclass(frozen=True, slots=True)
class DiskFiles:
    """Files by the names that they were asked for by.

    `sizes` has those that are there, with the bytes that deleting that name would free; `links` those that are symbolic
    links; `obstacles` what is no file to be deleted, and why. `bases` has what files are built on, by their places.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    bases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    links: set[str] = field(default_factory=set)
    obstacles: dict[str, str] = field(default_factory=dict)

    def place(self, file: str) -> str:
        """Where a file really is: the same for all its names."""
        return self.places.get(file, file)

    def behind(self, file: str) -> tuple[str, ...]:
        """The places of all files that a disk is built on."""
        found: dict[str, None] = {}
        todo = list(self.bases.get(self.place(file), ()))
        while todo:
            base = self.place(todo.pop())
            if base not in found:
                found[base] = None
                todo += self.bases.get(base, ())
        return tuple(found)


def look_at_files(node: Node, images: Iterable[str], others: Iterable[str]) -> DiskFiles:
    """Look at disk images and what they are built on, and at other files; MCluError if that cannot be told."""
    files = DiskFiles()
    opened: set[str] = set()
    todo, rest = set(images), set(others) - set(images)
    while todo or rest:
        _look(node, sorted(todo), sorted(rest), files)
        opened |= todo
        found = {base for bases in files.bases.values() for base in bases}
        # What a link leads to is a file of its own.
        found |= {files.places[link] for link in files.links & opened}
        todo, rest = found - opened, set()
    return files


def _look(node: Node, images: list[str], others: list[str], files: DiskFiles) -> None:
    asked = images + others
    done = node.run(["sh", "-c", _SCRIPT, "mclu-look", str(len(images)), *asked])
    # Not splitlines: a name may hold what it takes for the end of a line.
    lines = done.out.removesuffix("\n").split("\n")
    if done.status != 0 or len(lines) != 3 * len(asked):
        said = (done.err.strip().splitlines() or ["no answer"])[-1]
        raise MCluError(f"cannot tell what is built on what, so nothing was deleted: {said}", place=node.name)
    for file, known, place, info in zip(asked, lines[::3], lines[1::3], lines[2::3], strict=True):
        files.places[file] = place
        # Seen from another name, a base that is given relative to its disk may be another file.
        files.bases[place] = tuple(dict.fromkeys(files.bases.get(place, ()) + _bases(info)))
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
