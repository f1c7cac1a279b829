"""The facts of a node, parsed from the output of the script; lines of another form are ignored."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mclu_shell.errors import MCluError

# The script limits its output to less.
_MOST_LINES = 10_000
_LONGEST_LINE = 4096

_TIME = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(?:\.%N)?")
_USER = re.compile(r"(\d{1,10}) (\S{1,64})")
_SERVER = re.compile(r"\S+ \d+ ([0-9A-Fa-f.:%a-z]{2,64}) (\d{1,5})")
_NIC = re.compile(r"(\S{1,15}) (\S{1,64}) (physical|virtual|bridge) (\S{1,16})")
_NIC_SETTING = re.compile(r"(\S{1,15}) (\S.{0,300})")
_PARENT = re.compile(r"([0-7]{1,4}) (\d{1,10}) (\d{1,10}) (\S) (/.*)")
_SPACE = re.compile(r"(\d{1,10}) (\d{1,18}) (\d{1,18}) (\d{1,18})")


class Nic(NamedTuple):
    """A network interface. `wakeup` is that of its device: enabled or disabled; `-` if it has none.

    `supports` and `wol` are ethtool's letters, empty if unknown. `link` is the .link file of udev, `armed_by` the file
    or program that arms Wake-on-LAN at each boot.
    """

    name: str
    mac: str
    kind: str
    wakeup: str
    supports: str = ""
    wol: str = ""
    link: str = ""
    armed_by: str = ""


class Directory(NamedTuple):
    """A directory on the path to the images."""

    mode: int
    uid: int
    gid: int
    has_acl: bool
    path: str


class Images(NamedTuple):
    """The directory of images, `parents` from it up to the root directory.

    `can_reach` is whether QEMU's user can; None if that was not tried. `stale` are claims and downloads that no process
    holds. `has_answered` is false if its file system did not answer in time.
    """

    exists: bool
    has_answered: bool
    is_writable: bool
    parents: tuple[Directory, ...]
    block_bytes: int
    free_blocks: int | None
    inodes: int
    free_inodes: int
    can_reach: bool | None
    files: tuple[str, ...]
    stale: tuple[str, ...]


class Facts(NamedTuple):
    """The facts of a node; `time_s` is its clock. `power_off_fault` is empty if the login may switch it off."""

    time_s: float | None
    uid: int
    user: str
    server: tuple[str, int] | None
    os_names: tuple[str, ...]
    has_systemd: bool
    units: dict[str, str]
    power_off_fault: str
    has_kvm_device: bool
    cpu: str
    programs: frozenset[str]
    nics: tuple[Nic, ...]
    images: Images


def parse_facts(node: str, output: str) -> Facts:
    """Return the facts in the output of the script; raise MCluError if it is incomplete."""
    lines = [line[:_LONGEST_LINE] for line in output.split("\n")]
    if lines[-2:] != ["end", ""] or len(lines) > _MOST_LINES:
        raise MCluError("cannot examine the node: incomplete output", place=node, remedy="run 'doctor' again")
    values = _Values(lines)
    time, user, server = (values.match(*one) for one in (("time", _TIME), ("user", _USER), ("server", _SERVER)))
    return Facts(
        float(time[1]) if time else None,
        int(user[1]) if user else -1,
        user[2] if user else "",
        (server[1], int(server[2])) if server else None,
        tuple(name for line in values.all("os") for name in line.strip("\"'").lower().split()),
        "systemd" in lines,
        dict(line.split()[:2] for line in values.all("unit") if line.count(" ") == 1),
        "" if "can-power-off" in lines else values.first("no-power-off") or "unknown reason",
        "kvm-device" in lines,
        values.first("cpu"),
        frozenset(values.all("program")),
        tuple(_parse_nics(values)),
        _parse_images(values, lines),
    )


class _Values:
    """The lines of the output, by their first word."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._values: dict[str, list[str]] = {}
        for line in lines:
            word, _, value = line.partition(" ")
            self._values.setdefault(word, []).append(value)

    def all(self, word: str) -> list[str]:
        return self._values.get(word, [])

    def first(self, word: str) -> str:
        return next(iter(self.all(word)), "").strip()

    def match(self, word: str, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return pattern.fullmatch(self.first(word))

    def matches(self, word: str, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        return (match for value in self.all(word) if (match := pattern.fullmatch(value)))

    def paths(self, word: str) -> tuple[str, ...]:
        return tuple(value for value in self.all(word) if value.startswith("/"))


def _parse_nics(values: _Values) -> Iterator[Nic]:
    settings = {
        word: {match[1]: match[2].strip() for match in values.matches(word, _NIC_SETTING)}
        for word in ("supports", "wol", "link", "armed-by")
    }
    for match in values.matches("nic", _NIC):
        yield Nic(
            match[1], match[2].lower(), match[3], match[4], *(each.get(match[1], "") for each in settings.values())
        )


def _parse_images(values: _Values, lines: Sequence[str]) -> Images:
    space = values.match("space", _SPACE)
    parents = (
        Directory(int(match[1], 8), int(match[2]), int(match[3]), match[4] == "+", match[5])
        for match in values.matches("parent", _PARENT)
    )
    return Images(
        exists="images missing" not in lines,
        has_answered=not {"images missing", "images examined"}.isdisjoint(lines),
        is_writable="writable" in lines,
        parents=tuple(parents),
        block_bytes=int(space[1]) if space else 0,
        free_blocks=int(space[2]) if space else None,
        inodes=int(space[3]) if space else 0,
        free_inodes=int(space[4]) if space else 0,
        can_reach={"yes": True, "no": False}.get(values.first("reach")),
        files=values.paths("file"),
        stale=values.paths("stale"),
    )
