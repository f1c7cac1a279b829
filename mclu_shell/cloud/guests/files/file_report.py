"""The shell script that reports files of a node, and its output.

The nodes need sh, stat, od, find and qemu-img. One call reports any number of files, as each call takes 50 ms or more.
"""

import json
import re
import stat
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from mclu_shell.cloud.guests.files.file_id import FileId
from mclu_shell.cloud.guests.files.gnu_quoting import unquote
from mclu_shell.cloud.guests.files.image_header import read_backing_name
from mclu_shell.cloud.guests.files.node_lock import READ
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import MCluError

# Linux limits one argument, which is the whole command in an SSH session, to 128 KiB.
_LONGEST_COMMAND = 60_000
_TIMEOUT_S = 60.0

# Tests the first bytes of an image that may refer to other files: qcow with a backing file or an incompatible feature,
# such as an external data file; QED; VMDK, also as text. Running qemu-img on every file would take ten times as long.
# VDI, VHD, VHDX and Parallels images have parents only of their own format, which is never that of mclu's disks.
_MAY_REFER = r"""
may_refer() {
    case $1 in
        " 51 46 49 fb 00 00 00 02 00 00 00 00 00 00 00 00 "*) return 1 ;;
        " 51 46 49 fb 00 00 00 03 00 00 00 00 00 00 00 00 "*" 00") return 1 ;;
        " 51 46 49 fb "* | " 51 45 44 00 "* | " 4b 44 4d 56 "* | " 43 4f 57 44 "*) return 0 ;;
        " 23 "* | " 0a "* | " 0d "* | " 20 "* | " 76 65 72 73 69 6f 6e 3d "*) return 0 ;;
    esac
    return 1
}
head80() { od -An -v -tx1 -w80 -N80 -- "$1"; }
"""

# The first `images` of the files are disk images. Each line has a type: `l` is a name, `f` its file, `s` its file
# system, `r` the real path of a file that exists, in their order, `i` the JSON of qemu-img on an image. A line `e` is
# an image that cannot be read, with the reason in the next line; a line `h` is followed by the first bytes of such an
# image. Other files need not be readable. A drive without a medium is no error. `m` is a mount point, `x` a directory
# that is exported. Standard error has the names that stat failed on.
_REPORT = (
    READ
    + _MAY_REFER
    + r"""
export LC_ALL=C TZ=UTC0
images=$1; shift
stat -c 'l %b %h %f %n' -- "$@"
stat -L -c 'f %d %i %f %s %Y %w %n' -- "$@" 2>/dev/null
stat -f -c 's %i %t %T %n' -- "$@" 2>/dev/null
for file; do
    images=$((images - 1))
    [ -f "$file" ] || [ -b "$file" ] || continue
    if ! head=$(head80 "$file" 2>&1); then
        [ "$images" -lt 0 ] || [ -b "$file" ] || printf 'e %s\n%s\n' "$file" "$head"
        continue
    fi
    may_refer "$head" || continue
    if info=$(qemu-img info -U --output=json -- "$file" 2>&1); then
        printf 'i %s\n%s\n' "$file" "$(printf %s "$info" | tr -d '\n')"
    elif [ -f "$file" ]; then
        printf 'e %s\n%s\n' "$file" "$(printf %s "$info" | tail -n 1)"
        printf 'h %s\n%s\n' "$file" "$(od -An -v -tx1 -w65536 -N65536 -- "$file")"
    fi
done
count=$#
for file; do [ ! -e "$file" ] || set -- "$@" "$file"; done
shift "$count"
[ $# = 0 ] || readlink -z -f -- "$@" | tr '\n\0' '?\n' | sed 's/^/r /'
cut -d' ' -f5 /proc/self/mountinfo | sed 's/^/m /'
cut -f1 /var/lib/nfs/etab 2>/dev/null | sed 's/^/x /'
sed -n 's/^[[:space:]]*path[[:space:]]*=[[:space:]]*/x /p' /etc/samba/smb.conf 2>/dev/null
echo end
"""
)

# Prints the files of some directories that may refer to another one. Symbolic links are resolved or skipped, so each
# file has one name. A name outside ASCII may be no UTF-8, or have several lines: the JSON of qemu-img follows it.
_FIND = r"""
export LC_ALL=C
for directory; do readlink -f -- "$directory"; done | sort -u | while IFS= read -r directory; do
    find "$directory" -maxdepth 1 -type f -exec sh -c "$FUNCTIONS"'
        for file; do
            may_refer "$(head80 "$file")" || continue
            case $file in *[!\ -~]*)
                info=$(qemu-img info -U --output=json -- "$file" | tr -d "\n")
                [ -z "$info" ] || printf "o %s\n%s\n" "$(printf %s "$file" | tr "\n" "?")" "$info"
                continue ;;
            esac
            printf "n %s\n" "$file"
        done' sh {} + 2>/dev/null
done
echo end
"""

_LINK = re.compile(r"l (\d+) (\d+) ([0-9a-f]+) (/.*)")
_FILE = re.compile(r"f (\d+) (\d+) ([0-9a-f]+) (\d+) (-?\d+) (-|\S+ \S+ \S+) (/.*)")
_SYSTEM = re.compile(r"s (\S+) ([0-9a-f]+) (.*?) (/.*)")
_FAILED = re.compile(r"""stat: [^'"$]*(['"$].*): (.*)""")
_DENIED = "Permission denied"
_MISSING = ("No such file or directory", "Not a directory", "Too many levels of symbolic links", "File name too long")


class Status(NamedTuple):
    """A name as lstat(2) reports it: blocks of 512 bytes, number of hard links, mode."""

    blocks: int
    hard_links: int
    mode: int


class FileReport(NamedTuple):
    """The report of some files, by name. `hidden` are files in directories that the login must not read."""

    names: dict[str, Status]
    ids: dict[str, FileId]
    real_paths: dict[str, str]
    images: dict[str, object]
    unreadable: dict[str, str]
    mounts: frozenset[str]
    hidden: frozenset[str] = frozenset()


def report_files(node: Node, images: Sequence[str], others: Sequence[str]) -> FileReport:
    """Report disk images and other files of a node; raise MCluError if that is not possible."""
    # The script prints a name in a line.
    odd = {name: "its name has several lines" for name in (*images, *others) if "\n" in name}
    split = _split([name for name in images if name not in odd], [name for name in others if name not in odd])
    parts = [_report(node, names, count) for names, count in split]
    return FileReport(
        {name: status for part in parts for name, status in part.names.items()},
        {name: file_id for part in parts for name, file_id in part.ids.items()},
        {name: path for part in parts for name, path in part.real_paths.items()},
        {name: image for part in parts for name, image in part.images.items()},
        odd | {name: reason for part in parts for name, reason in part.unreadable.items()},
        frozenset().union(*(part.mounts for part in parts)),
        frozenset().union(*(part.hidden for part in parts)),
    )


def find_images(node: Node, directories: Sequence[str]) -> tuple[list[str], dict[str, object]]:
    """Return the files of some directories that may refer to other files.

    The second part has those whose names may not be printable: printable names, and what qemu-img reports.
    """
    script = f"{READ}FUNCTIONS='{_MAY_REFER}'\n{_FIND}"
    found: list[str] = []
    odd: dict[str, object] = {}
    for names, _ in _split(directories, ()):
        lines = node.run_read_only(["sh", "-c", script, "mclu-look", *names], _TIMEOUT_S).out.split("\n")
        if lines[-2:] != ["end", ""]:
            raise _undecided(node, "incomplete output")
        found += [line[2:] for line in lines if line.startswith("n /")]
        odd |= {line[2:]: json.loads(info) for line, info in pairwise(lines) if line.startswith("o /")}
    return found, odd


def _split(images: Sequence[str], others: Sequence[str]) -> Iterator[tuple[list[str], int]]:
    """Split names into parts for one command each; yield them with the number of images, which are the first."""
    part: list[str] = []
    count = length = 0
    for position, name in enumerate((*images, *others)):
        if length + len(name.encode()) + 3 > _LONGEST_COMMAND:
            yield part, count
            part, count, length = [], 0, 0
        part.append(name)
        count += position < len(images)
        length += len(name.encode()) + 3
    if part:
        yield part, count


def _report(node: Node, names: Sequence[str], images: int) -> FileReport:
    done = node.run_read_only(["sh", "-c", _REPORT, "mclu-look", str(images), *names], _TIMEOUT_S)
    # splitlines() would also split at other separators, which a file name may contain.
    lines = done.out.removesuffix("\n").split("\n")
    if lines[-1] != "end":
        raise _undecided(node, (done.err.strip().splitlines() or ["incomplete output"])[-1])
    links = {match[4]: match for line in lines if (match := _LINK.fullmatch(line))}
    failures = {unquote(match[1]): match[2] for line in done.err.splitlines() if (match := _FAILED.fullmatch(line))}
    hidden, lost = set(), {}
    for position, name in enumerate(names):
        reason = failures.get(name, "stat failed")
        # A login other than root cannot see, for example, libvirt's sockets.
        if reason == _DENIED and position >= images:
            hidden.add(name)
        elif name not in links and reason not in _MISSING:
            lost[name] = f"{reason[0].lower()}{reason[1:]}"
    report = _parse(node, names, links, lines)
    return report._replace(unreadable=report.unreadable | lost, hidden=frozenset(hidden))


def _parse(node: Node, names: Sequence[str], links: dict[str, re.Match[str]], lines: Sequence[str]) -> FileReport:
    files = {match[7]: match for line in lines if (match := _FILE.fullmatch(line))}
    systems = {match[4]: match for line in lines if (match := _SYSTEM.fullmatch(line))}
    paths = [line[2:] for line in lines if line.startswith("r ")]
    exports = [line[2:].rstrip("/") + "/" for line in lines if line.startswith("x /")]
    existing = [name for name in names if name in files]
    if len(paths) != len(existing) or not systems.keys() >= files.keys():
        raise _undecided(node, "files changed at the same time")
    real_paths = dict(zip(existing, paths, strict=True))
    ids = {name: _file_id(files[name], systems[name], real_paths[name], exports) for name in existing}
    infos = {line[2:]: following for line, following in pairwise(lines) if line.startswith("i /")}
    faults = {line[2:]: following for line, following in pairwise(lines) if line.startswith("e /")}
    heads = {line[2:]: bytes.fromhex(following) for line, following in pairwise(lines) if line.startswith("h /")}
    bases = {name: read_backing_name(head, ids[name].length) for name, head in heads.items() if name in ids}
    headers = {name: {"backing-filename": base} for name, base in bases.items() if base is not None}
    return FileReport(
        {name: Status(int(match[1]), int(match[2]), int(match[3], 16)) for name, match in links.items()},
        ids,
        real_paths,
        {name: json.loads(info) for name, info in infos.items()} | headers,
        {name: fault for name, fault in faults.items() if name not in headers},
        frozenset(_unescape(line[2:]) for line in lines if line.startswith("m /")),
    )


def _file_id(file: re.Match[str], system: re.Match[str], real_path: str, exports: Sequence[str]) -> FileId:
    return FileId(
        device=int(file[1]),
        inode=int(file[2]),
        is_regular=stat.S_ISREG(int(file[3], 16)),
        length=int(file[4]),
        modified=int(file[5]),
        born=file[6],
        magic=system[2],
        file_system=system[3],
        file_system_id=system[1],
        is_exported=any(real_path.startswith(directory) for directory in exports),
    )


def _unescape(text: str) -> str:
    """Return a path of /proc/self/mountinfo without its octal escapes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _undecided(node: Node, reason: str) -> MCluError:
    return MCluError(f"cannot determine backing files, nothing was deleted: {reason}", place=node.name)
