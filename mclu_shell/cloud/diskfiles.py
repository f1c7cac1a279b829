"""Files on a node as disks are made of them: where each really is, how large it is, and what it is built on."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from mclu_shell.cloud.node import Node
from mclu_shell.errors import MCluError

# Three lines per file: its blocks of 512 bytes, or nothing if it is not there; its place; what QEMU knows of it, as
# JSON. The first `images` of the files are disk images. A drive without a medium cannot be opened, and need not be.
_SCRIPT = r"""
images=$1; shift
for file; do
    stat -L -c %b -- "$file" 2>/dev/null || echo
    readlink -f -- "$file" || printf '%s\n' "$file"
    info=
    if [ "$images" -gt 0 ]; then
        images=$((images - 1))
        if [ -f "$file" ] || [ -b "$file" ]; then
            info=$(qemu-img info -U --output=json -- "$file") || [ ! -f "$file" ] || exit 1
        fi
    fi
    printf '%s' "$info" | tr -d '\n'; echo
done
"""


@dataclass(frozen=True, slots=True)
class DiskFiles:
    """Files by the names that they were asked for by; `sizes` has those that are there, in bytes on the disk."""

    sizes: dict[str, int]
    places: dict[str, str]
    bases: dict[str, tuple[str, ...]]

    def place(self, file: str) -> str:
        """Where a file really is: the same for all its names."""
        return self.places.get(file, file)

    def behind(self, file: str) -> tuple[str, ...]:
        """The places of all files that a disk is built on."""
        found: dict[str, None] = {}
        todo = list(self.bases.get(file, ()))
        while todo:
            base = todo.pop()
            if self.place(base) not in found:
                found[self.place(base)] = None
                todo += self.bases.get(base, ())
        return tuple(found)


def look_at_files(node: Node, images: Iterable[str], others: Iterable[str]) -> DiskFiles:
    """Look at disk images and what they are built on, and at other files; MCluError if that cannot be told."""
    files = DiskFiles({}, {}, {})
    todo, rest = set(images), set(others) - set(images)
    while todo or rest:
        _look(node, sorted(todo), sorted(rest), files)
        todo, rest = {base for bases in files.bases.values() for base in bases} - files.bases.keys(), set()
    return files


def _look(node: Node, images: list[str], others: list[str], files: DiskFiles) -> None:
    asked = images + others
    done = node.run(["sh", "-c", _SCRIPT, "mclu-look", str(len(images)), *asked])
    lines = done.out.splitlines()
    if done.status != 0 or len(lines) != 3 * len(asked):
        said = (done.err.strip().splitlines() or ["no answer"])[-1]
        raise MCluError(f"cannot tell what is built on what, so nothing was deleted: {said}", place=node.name)
    for file, blocks, place, info in zip(asked, lines[::3], lines[1::3], lines[2::3], strict=True):
        if blocks:
            files.sizes[file] = int(blocks) << 9
        files.places[file] = place
        files.bases[file] = _bases(info)


def _bases(info: str) -> tuple[str, ...]:
    """The file that an image is directly built on (qemu-img's JSON), if it is built on any."""
    known = json.loads(info) if info else {}
    base = known.get("full-backing-filename") or known.get("backing-filename") or ""
    # QEMU has a way to write the options of a file as its name.
    named = re.findall(r'"(/[^"]*)"', base) if base.startswith("json:") else [base.removeprefix("file:")]
    return tuple(file for file in named if file.startswith("/"))
