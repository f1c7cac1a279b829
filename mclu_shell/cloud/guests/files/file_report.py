"""The shell script that reports files of a node, and its output.

The nodes need sh, stat, od, find and qemu-img. One call reports any number of files, as each call takes 50 ms or more.
"""

import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

from mclu_shell.cloud.guests.files.file_id import FileId
from mclu_shell.cloud.guests.files.gnu_quoting import unquote
from mclu_shell.cloud.guests.files.image_formats import RAW, UNKNOWN
from mclu_shell.cloud.guests.files.image_header import read_backing_name
from mclu_shell.cloud.guests.files.node_lock import READ
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.transport.process import Completed
from mclu_shell.parsing.json_text import parse_json
from mclu_shell.parsing.limits import InvalidData

# Linux limits one argument, which is the whole command in an SSH session, to 128 KiB.
_LONGEST_COMMAND = 60_000
# With each name come its quotes, a space and its format.
_WITH_NAME = 24
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

# The first word has a kind for each file: the format of an image; `any` if that is unknown; `may` for a file that is
# perhaps an image, and need not be readable; `no` for one that is not read, as its content is a guest's.
# Each line has a type: `l` is a name, `f` its file, `s` its file system, `r` the real path of a file that exists, in
# their order, `i` the JSON of qemu-img on an image. A line `e` is an image that cannot be read, with the reason in the
# next line; a line `h` is followed by the first bytes of such an image. A drive without a medium is no error. `m` is a
# mount point, `x` a directory that is exported. Standard error has the names that stat failed on.
_REPORT = (
    READ
    + _MAY_REFER
    + r"""
export LC_ALL=C TZ=UTC0
kinds=$1; shift
stat -c 'l %b %h %f %n' -- "$@"
stat -L -c 'f %d %i %f %s %Y %w %n' -- "$@" 2>/dev/null
stat -f -c 's %i %t %T %n' -- "$@" 2>/dev/null
for file; do
    kind=${kinds%% *} kinds=${kinds#* }
    [ "$kind" != no ] && { [ -f "$file" ] || [ -b "$file" ]; } || continue
    if ! head=$(head80 "$file" 2>&1); then
        [ "$kind" = may ] || [ -b "$file" ] || printf 'e %s\n%s\n' "$file" "$head"
        continue
    fi
    may_refer "$head" || continue
    format="-f $kind"
    case $kind$head in
        any* | may*) format= ;;
        # Other content refers to nothing: QEMU does not open the file.
        qcow2" 51 46 49 fb "* | qed" 51 45 44 00 "*) ;;
        qcow2* | qed*) continue ;;
    esac
    if info=$(qemu-img info -U --output=json $format -- "$file" 2>&1); then
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

_NUMBER = r"(\d{1,18})"
_LINK = re.compile(rf"l {_NUMBER} {_NUMBER} ([0-9a-f]{{1,8}}) (/.*)", re.ASCII)
_FILE = re.compile(
    rf"f {_NUMBER} (\d{{1,20}}) ([0-9a-f]{{1,8}}) {_NUMBER} (-?\d{{1,18}}) (-|\S+ \S+ \S+) (/.*)", re.ASCII
)
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


def report_files(node: Node, images: Sequence[str], others: Sequence[str], formats: Mapping[str, str]) -> FileReport:
    """Report disk images and other files of a node; raise MCluError if that is not possible.

    `formats` has the formats of images as far as they are known; RAW files are not read.
    """
    # The script prints a name in a line.
    odd = {name: "its name has several lines" for name in (*images, *others) if "\n" in name}
    split = _split([name for name in images if name not in odd], [name for name in others if name not in odd])
    parts = [_report(node, names, count, formats) for names, count in split]
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
        done = node.run_read_only(["sh", "-c", script, "mclu-look", *names], _TIMEOUT_S)
        with _at(node):
            named, unprintable = parse_images(done.out)
        found += named
        odd |= unprintable
    return found, odd


def parse_images(out: str) -> tuple[list[str], dict[str, object]]:
    """Read the output of the search for images; raise InvalidData."""
    lines = out.split("\n")
    if lines[-2:] != ["end", ""]:
        raise InvalidData("incomplete output")
    odd = {line[2:]: parse_json(info) for line, info in pairwise(lines) if line.startswith("o /")}
    return [line[2:] for line in lines if line.startswith("n /")], odd


def _split(images: Sequence[str], others: Sequence[str]) -> Iterator[tuple[list[str], int]]:
    """Split names into parts for one command each; yield them with the number of images, which are the first."""
    part: list[str] = []
    count = length = 0
    for position, name in enumerate((*images, *others)):
        if length + len(name.encode()) + _WITH_NAME > _LONGEST_COMMAND:
            yield part, count
            part, count, length = [], 0, 0
        part.append(name)
        count += position < len(images)
        length += len(name.encode()) + _WITH_NAME
    if part:
        yield part, count


def _report(node: Node, names: Sequence[str], images: int, formats: Mapping[str, str]) -> FileReport:
    kinds = [_kind(formats.get(name, UNKNOWN), "any" if i < images else "may") for i, name in enumerate(names)]
    done = node.run_read_only(["sh", "-c", _REPORT, "mclu-look", " ".join(kinds), *names], _TIMEOUT_S)
    with _at(node):
        return parse_report(names, images, done)


def parse_report(names: Sequence[str], images: int, done: Completed) -> FileReport:
    """Read the output of the report of some files, of which the first are images; raise InvalidData."""
    # splitlines() would also split at other separators, which a file name may contain.
    lines = done.out.removesuffix("\n").split("\n")
    if lines[-1] != "end":
        raise InvalidData((done.err.strip().splitlines() or ["incomplete output"])[-1])
    links = {match[4]: match for line in lines if (match := _LINK.fullmatch(line))}
    failures = {unquote(match[1]): match[2] for line in done.err.splitlines() if (match := _FAILED.fullmatch(line))}
    hidden, lost = set(), {}
    for position, name in enumerate(names):
        reason = failures.get(name, "stat failed")
        # A login other than root cannot see, for example, libvirt's sockets.
        if reason == _DENIED and position >= images:
            hidden.add(name)
        elif name not in links and reason not in _MISSING:
            lost[name] = f"{reason[:1].lower()}{reason[1:]}"
    report = _parse(names, links, lines)
    return report._replace(unreadable=report.unreadable | lost, hidden=frozenset(hidden))


def _kind(image_format: str, unknown: str) -> str:
    if image_format == RAW:
        return "no"
    return unknown if image_format == UNKNOWN or unknown == "may" else image_format


def _parse(names: Sequence[str], links: dict[str, re.Match[str]], lines: Sequence[str]) -> FileReport:
    files = {match[7]: match for line in lines if (match := _FILE.fullmatch(line))}
    systems = {match[4]: match for line in lines if (match := _SYSTEM.fullmatch(line))}
    paths = [line[2:] for line in lines if line.startswith("r ")]
    exports = [line[2:].rstrip("/") + "/" for line in lines if line.startswith("x /")]
    existing = [name for name in names if name in files]
    if len(paths) != len(existing) or not systems.keys() >= files.keys():
        raise InvalidData("files changed at the same time")
    real_paths = dict(zip(existing, paths, strict=True))
    ids = {name: _file_id(files[name], systems[name], real_paths[name], exports) for name in existing}
    # A file that is not found again has just been deleted; a link may be dangling.
    statuses = [(name, Status(int(match[1]), int(match[2]), int(match[3], 16))) for name, match in links.items()]
    infos = {line[2:]: following for line, following in pairwise(lines) if line.startswith("i /")}
    faults = {line[2:]: following for line, following in pairwise(lines) if line.startswith("e /")}
    heads = {line[2:]: _octets(following) for line, following in pairwise(lines) if line.startswith("h /")}
    bases = {name: read_backing_name(head, ids[name].length) for name, head in heads.items() if name in ids}
    headers = {name: {"backing-filename": base} for name, base in bases.items() if base is not None}
    return FileReport(
        {name: status for name, status in statuses if name in ids or stat.S_ISLNK(status.mode)},
        ids,
        real_paths,
        {name: parse_json(info) for name, info in infos.items()} | headers,
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


def _octets(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        raise InvalidData(str(error)) from None


@contextmanager
def _at(node: Node) -> Iterator[None]:
    """Name the node and the consequence in errors of its output."""
    try:
        yield
    except InvalidData as error:
        fact = f"cannot determine backing files, nothing was deleted: {error.fact}"
        raise error.with_context(fact=fact, place=node.name) from None
