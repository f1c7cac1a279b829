"""A node's memory as its kernel reports it, and the reservations of boots in progress there.

libvirt reports files in tmpfs and memfd as cache, and no huge pages; so one command reads /proc (proc(5)) beside
libvirt's calls.
"""

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from mclu_shell.cloud.state.guest import NodeReport
from mclu_shell.cloud.transport.base import LibvirtTransport
from mclu_shell.config import NodeConfig
from mclu_shell.errors import NodeFault

# Defines reservations: prints those of the boots on this node, except of the one that holds $claim. A claim names
# the process with the claim open as descriptor 8. So no lock is tried, which could refuse it to a boot; and claims of
# another node in a shared directory do not count.
RESERVATIONS = r"""
reservations() {
    for other in "$images"/.mclu-*.building; do
        [ "$other" != "$claim" ] && [ -f "$other" ] && read -r holder reserved owner <"$other" || continue
        [ ! "/proc/$holder/fd/8" -ef "$other" ] || report "$1" "$reserved" "$owner"
    done 2>/dev/null
}
"""
_SCRIPT = (
    r"""
images=$1 claim=
report() { echo "$*"; }
grep -s . /proc/meminfo /proc/spl/kstat/zfs/arcstats /sys/kernel/mm/hugepages/hugepages-*/*_hugepages
"""
    + RESERVATIONS
    + r"""
reservations reserved
"""
)
_RESERVED = "reserved "
# How much longer than libvirt's answer it may take: a shell has to be started for it.
_TIMEOUT_S = 1.0


class Reservation(NamedTuple):
    """The memory that a boot in progress has reserved for its guest."""

    bytes: int
    uuid: str


class KernelMemory(NamedTuple):
    """A node's memory: what programs can get, the pool of huge pages and its part in use, and reservations."""

    available_bytes: int
    huge_pool_bytes: int = 0
    huge_used_bytes: int = 0
    reservations: tuple[Reservation, ...] = ()

    def applied(self, report: NodeReport) -> NodeReport:
        """Return a report of libvirt with these figures."""
        info = report.info._replace(
            available_bytes=min(self.available_bytes, report.info.memory_bytes),
            huge_pool_bytes=self.huge_pool_bytes,
            huge_used_bytes=self.huge_used_bytes,
            reserved_bytes=reserved_bytes(self.reservations, report),
        )
        return report._replace(info=info)


def reserved_bytes(reservations: Iterable[Reservation], report: NodeReport) -> int:
    """Return the sum of reservations; a guest that runs is counted among the guests."""
    running = {guest.uuid for guest in report.running}
    return sum(each.bytes for each in reservations if each.uuid not in running)


def parse_reservation(text: str) -> Reservation | None:
    """Read the bytes and the UUID of a reservation; None if they are not there, as in a claim that is being written."""
    amount, _, uuid = text.strip().partition(" ")
    return Reservation(int(amount), uuid) if amount.isdecimal() and uuid else None


def parse_memory(lines: Iterable[str]) -> KernelMemory | None:
    """Read the output of the command; None if it has no figures of the kernel."""
    figures: dict[str, int] = {}
    reservations = []
    for line in lines:
        if line.startswith(_RESERVED):
            reservations.append(parse_reservation(line.removeprefix(_RESERVED)))
        else:
            figures |= _figure(line)
    available = _available(figures)
    if available is None:
        return None
    held = tuple(each for each in reservations if each is not None)
    return KernelMemory(available, *_huge_pages(figures), held)


def _figure(line: str) -> dict[str, int]:
    """Return one figure by the last part of its file's path and its name: `meminfo:MemFree` in bytes."""
    path, _, text = line.partition(":")
    words = text.replace(":", " ").split()
    if path.startswith("/sys/"):
        *_, directory, name = path.split("/")
        # Of hugepages-2048kB/nr_hugepages.
        size = directory.removeprefix("hugepages-").removesuffix("kB")
        return {f"{name}:{size}": int(words[0]) * (int(size) << 10)} if words and size.isdecimal() else {}
    file = path.rpartition("/")[2]
    # meminfo has "MemFree: 5 kB", arcstats "size 4 5": name, type, value.
    if file == "meminfo" and len(words) > 1 and words[1].isdecimal():
        return {f"{file}:{words[0]}": int(words[1]) << 10 * (words[-1] == "kB")}
    return {f"{file}:{words[0]}": int(words[2])} if file == "arcstats" and words[2:] and words[2].isdecimal() else {}


def _available(figures: dict[str, int]) -> int | None:
    """Return the kernel's estimate, which counts neither tmpfs nor huge pages, and what ZFS's cache gives back."""
    available = figures.get("meminfo:MemAvailable")
    if available is None:
        return None
    return available + max(0, figures.get("arcstats:size", 0) - figures.get("arcstats:c_min", 0))


def _huge_pages(figures: dict[str, int]) -> tuple[int, int]:
    """Return the bytes of huge pages of all sizes, and of those that are in use or promised to a program."""
    sums = dict.fromkeys(("nr_hugepages", "free_hugepages", "resv_hugepages"), 0)
    for name, value in figures.items():
        kind = name.partition(":")[0]
        if kind in sums:
            sums[kind] += value
    return sums["nr_hugepages"], sums["nr_hugepages"] - sums["free_hugepages"] + sums["resv_hugepages"]


class MemoryQuery:
    """The command on a node, which runs while libvirt is queried; a node that hangs does not delay the caller."""

    def __init__(self, node: NodeConfig, transport: LibvirtTransport) -> None:
        self._argv = ["sh", "-c", _SCRIPT, "mclu-memory", node.images]
        self._transport = transport
        self._memory: KernelMemory | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        if _is_own(node.uri):
            self._thread.start()

    def _read(self) -> None:
        # Without the command, as where sshd forces another one, libvirt's figures stand.
        with suppress(NodeFault, OSError):
            process = self._transport.direct().start(self._argv)
            try:
                process.end_input()
                self._memory = parse_memory(process.lines())
            finally:
                process.close()

    def complete(self, report: NodeReport) -> NodeReport:
        """Return a report of libvirt with the kernel's figures, if they come in time."""
        if self._thread.ident is not None:
            self._thread.join(_TIMEOUT_S)
        return self._memory.applied(report) if self._memory else report


def _is_own(uri: str) -> bool:
    """Return whether a libvirt URI is for the machine that commands run on, and not for a simulated one."""
    driver, _, rest = uri.partition("://")
    return driver not in ("", "test") and rest.startswith("/")
