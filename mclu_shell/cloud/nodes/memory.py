"""A node's memory as its kernel reports it, and the reservations of boots in progress there.

libvirt reports files in tmpfs and memfd as cache, and no huge pages; so one command reads /proc (proc(5)) beside
libvirt's calls.
"""

import threading
from collections.abc import Iterable
from typing import NamedTuple

from mclu_shell.cloud.concurrency.answers import answer_of
from mclu_shell.cloud.state.guest import NodeReport
from mclu_shell.cloud.transport.base import LibvirtTransport
from mclu_shell.config import NodeConfig
from mclu_shell.errors import InvalidAnswer, MCluError, NodeFault, TooMuchData

# Defines reservations: prints those of the boots on this node, except of the one that holds $claim. A claim names
# the process with the claim open as descriptor 8. So no lock is tried, which could refuse it to a boot; and claims of
# another node in a shared directory do not count, nor those of processes of another user.
RESERVATIONS = r"""
reservations() {
    for other in "$images"/.mclu-*.building; do
        [ "$other" != "$claim" ] && [ -f "$other" ] && [ ! -L "$other" ] || continue
        read -r holder reserved owner <"$other" || continue
        [ ! -O "/proc/$holder" ] || [ ! "/proc/$holder/fd/8" -ef "$other" ] || report "$1" "$reserved" "$owner"
    done 2>/dev/null
}
"""
# Prints a node's memory as parse_memory reads it. The shell reads the files itself, because each program that it
# starts takes as long as all of this.
MEMORY_SCRIPT = (
    r"""
images=$1 claim=
report() { echo "$*"; }
while read -r name value _; do
    case $name in MemAvailable:) report available "$value"; break ;; esac
done </proc/meminfo
arcstats=/proc/spl/kstat/zfs/arcstats
[ ! -r "$arcstats" ] || while read -r name _ value; do
    case $name in size | c_min) report "zfs_$name" "$value" ;; esac
done <"$arcstats"
for pool in /sys/kernel/mm/hugepages/hugepages-*kB; do
    size=${pool##*-}
    read -r total <"$pool/nr_hugepages" && read -r free <"$pool/free_hugepages" || continue
    read -r promised <"$pool/resv_hugepages" && report huge "${size%kB}" "$total" "$((total - free + promised))"
done 2>/dev/null
"""
    + RESERVATIONS
    + r"""
reservations reserved
"""
)
# How much longer than libvirt's answer it may take: a shell has to be started for it.
_TIMEOUT_S = 1.0
# The limit for the command itself.
_RUN_TIMEOUT_S = 30.0


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
    huge_pool = huge_used = 0
    reservations = []
    for line in lines:
        name, *words = line.split()[:4] or [""]
        if name == "reserved":
            reservations.append(parse_reservation(line.removeprefix(name)))
        elif not words or not all(map(str.isdecimal, words)):
            continue
        elif name == "huge" and len(words) == 3:
            page_kib, total, used = map(int, words)
            huge_pool += total * page_kib << 10
            huge_used += used * page_kib << 10
        else:
            figures[name] = int(words[0])
    available = _available(figures)
    if available is None:
        return None
    return KernelMemory(available, huge_pool, huge_used, tuple(each for each in reservations if each is not None))


def _available(figures: dict[str, int]) -> int | None:
    """Return the kernel's estimate, which counts neither tmpfs nor huge pages, and what ZFS's cache gives back."""
    if "available" not in figures:
        return None
    return (figures["available"] << 10) + max(0, figures.get("zfs_size", 0) - figures.get("zfs_c_min", 0))


class MemoryQuery:
    """The command on a node, which runs while libvirt is queried; a node that hangs does not delay the caller."""

    def __init__(self, node: NodeConfig, transport: LibvirtTransport) -> None:
        self._argv = ["sh", "-c", MEMORY_SCRIPT, "mclu-memory", node.images]
        self._node = node.name
        self._transport = transport
        self._memory: KernelMemory | None = None
        self._fault: MCluError | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        if node.runs_guests:
            self._thread.start()

    def _read(self) -> None:
        try:
            with answer_of(self._node):
                done = self._transport.direct().run(self._argv, _RUN_TIMEOUT_S)
                self._memory = parse_memory(done.out.splitlines())
        except (TooMuchData, InvalidAnswer) as error:
            self._fault = error
        except NodeFault:
            # Without the command, as where sshd forces another one, libvirt's figures stand.
            pass

    def complete(self, report: NodeReport) -> NodeReport:
        """Return a report of libvirt with the kernel's figures, if they come in time; raise InvalidAnswer."""
        if self._thread.ident is not None:
            self._thread.join(_TIMEOUT_S)
        if self._fault is not None:
            raise self._fault
        return self._memory.applied(report) if self._memory else report
