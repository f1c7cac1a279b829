"""The choice of addresses that are really a guest's: not its node's own, and not left from an earlier run."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.parsing.limits import InvalidData, parse_count, require_size

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.addresses import Address

# Runs a command on the node and returns its output.
Run = Callable[[Sequence[str]], str]

# Prints the node's own addresses, its time, and the start of each guest's QEMU process in clock ticks since its boot
# (proc_pid_stat(5)). The guests are the arguments.
_FACTS = r"""
cat /proc/net/fib_trie /proc/net/if_inet6 2>/dev/null
echo "@time $(date +%s.%N) $(cut -d ' ' -f 1 /proc/uptime) $(getconf CLK_TCK 2>/dev/null || echo 100)"
for name; do
    file=/run/libvirt/qemu/$name.pid
    pid=$(cat -- "$file" 2>/dev/null || sudo -n cat -- "$file" 2>/dev/null) || pid=
    echo "@start $(sed 's/.*) //' "/proc/${pid:-none}/stat" 2>/dev/null | cut -d ' ' -f 20)"
done
"""
# Prints the addresses that answer. An address that refuses a connection answers.
_ANSWERING = r"""
connect() { timeout 1 bash -c 'exec 3<>"/dev/tcp/$0/22"' "$1" 2>&1; }
answers() {
    ping -c 1 -w 1 "$1" >/dev/null 2>&1 && return
    reply=$(connect "$1") && return
    case $reply in *refused*) return 0 ;; esac
    return 1
}
for address; do { answers "$address" && echo "$address"; } & done
wait
"""
_LOCAL = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")
_LOCAL_6 = re.compile(r"^([0-9a-f]{32}) [0-9a-f]{2} ", re.MULTILINE)
_TIME = re.compile(r"^@time (\d{1,12}(?:\.\d+)?)(?:\.?%N)? (\d{1,12}(?:\.\d+)?) (\d+)$", re.MULTILINE | re.ASCII)
_START = re.compile(r"^@start (\d*)$", re.MULTILINE | re.ASCII)


class Facts(NamedTuple):
    """The node's own addresses, and the start times of its guests by UUID."""

    own: frozenset[str]
    started_at: Mapping[str, float]


def confirm_addresses(
    run: Run, names: Mapping[str, str], found: Mapping[str, Sequence["Address"]]
) -> dict[str, tuple[str, ...]]:
    """Return the addresses of guests by UUID that are certainly theirs; `names` has the guests by UUID.

    A lease from before the start of a guest counts only if the address answers: a guest that was restored from saved
    memory keeps its lease, but after a power cut it is only a trace of the run before.
    """
    if not any(found.values()):
        return {}
    try:
        facts = parse_facts(run(["sh", "-c", _FACTS, "sh", *names.values()]), [*names])
    except InvalidData:
        return {}
    found = {uuid: [one for one in addresses if one.address not in facts.own] for uuid, addresses in found.items()}
    doubtful = [
        one.address
        for uuid, addresses in found.items()
        for one in addresses
        if not _is_current(one, facts.started_at.get(uuid))
    ]
    stale = set(doubtful) - _answering(run, doubtful)
    return {uuid: tuple(one.address for one in all_ if one.address not in stale) for uuid, all_ in found.items()}


def _is_current(address: "Address", started_at: float | None) -> bool:
    if address.is_current:
        return True
    return started_at is not None and address.renewed_at is not None and address.renewed_at >= int(started_at)


def parse_facts(out: str, uuids: Sequence[str]) -> Facts:
    """Read the node's answer about itself and these guests; raise InvalidData if it is incomplete."""
    require_size(out, "list of addresses")
    own = {*_LOCAL.findall(out), *(_ipv6(digits) for digits in _LOCAL_6.findall(out))}
    times, starts = _TIME.search(out), _START.findall(out)
    # Without the node's own addresses, no address is certainly a guest's.
    if not own or times is None or len(starts) != len(uuids) or not (ticks_per_s := parse_count(times[3])):
        raise InvalidData("incomplete list of addresses")
    boot = float(times[1]) - float(times[2])
    seconds = {uuid: parse_count(start) / ticks_per_s for uuid, start in zip(uuids, starts, strict=True) if start}
    return Facts(frozenset(own), {uuid: boot + start for uuid, start in seconds.items()})


def _ipv6(digits: str) -> str:
    return str(ipaddress.IPv6Address(bytes.fromhex(digits)))


def _answering(run: Run, addresses: Sequence[str]) -> set[str]:
    """Return the addresses that answer, seen from the node."""
    return set(run(["sh", "-c", _ANSWERING, "sh", *addresses]).split()) if addresses else set()
