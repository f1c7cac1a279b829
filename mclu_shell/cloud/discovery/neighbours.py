"""MAC addresses of machines on the same network, from the neighbour tables of this machine and of nodes."""

import socket
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from mclu_shell.cloud.transport.openssh.config import Target

_ARP = Path("/proc/net/arp")
# The table is local; only a machine under heavy load needs longer.
_TIMEOUT_S = 2.0
_COMPLETE = 0x2
_NO_MAC = "00:00:00:00:00:00"


def read_neighbours() -> dict[str, str]:
    """Return the MAC addresses in this machine's neighbour table, by IP address.

    A connection attempt to a machine that is off removes its entry, so the table must be read before.
    """
    try:
        done = subprocess.run(
            ["ip", "neigh", "show"], capture_output=True, check=False, text=True, timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return _read_arp()
    return parse_neighbours(done.stdout.splitlines()) or _read_arp()


def parse_neighbours(lines: Iterable[str]) -> dict[str, str]:
    """Return the MAC addresses in the output of `ip neigh`, by IP address."""
    words = [line.split() for line in lines]
    return {line[0]: line[line.index("lladdr") + 1].lower() for line in words if "lladdr" in line[1:-1]}


def _read_arp() -> dict[str, str]:
    """Return the same of the kernel's IPv4 table (proc(5)), for a machine without iproute2."""
    try:
        rows = [line.split() for line in _ARP.read_text().splitlines()[1:]]
    except OSError:
        return {}
    return {row[0]: row[3].lower() for row in rows if int(row[2], 16) & _COMPLETE and row[3] != _NO_MAC}


def find_mac(target: Target, neighbours: Mapping[str, str]) -> str | None:
    """Return the MAC of a host in a neighbour table; None if it is not there, or behind a proxy."""
    if target.proxy:
        return None
    try:
        infos = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    addresses = (str(info[4][0]).partition("%")[0] for info in infos)
    return next((neighbours[address] for address in addresses if address in neighbours), None)
