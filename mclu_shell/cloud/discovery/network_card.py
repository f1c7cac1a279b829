"""The network card of a node that carries the SSH connection: its MAC address and Wake-on-LAN.

The address of the connection may belong to a bridge, a bond or a VLAN, which the script resolves to the cards below.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from mclu_shell.cloud.discovery.neighbours import parse_neighbours

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
# A card without an address of its own, such as a loopback interface.
_NO_MAC = "00:00:00:00:00:00"
_ARMED = {"yes": True, "no": False}

# Lines of the output: "machine ID", "top MAC", "card NAME MAC physical|virtual yes|no|unknown", "neighbour LINE".
# A network interface has links lower_* to the interfaces below it, and `device` if it is hardware (kernel,
# Documentation/ABI/testing/sysfs-class-net). A bond gives all its cards one MAC, but they wake for their own.
# `ethtool` shows the setting only to root; `power/wakeup` follows it.
_SCRIPT = """\
PATH=$PATH:/usr/sbin:/sbin
class=/sys/class/net
show() {
    mac=$(cat "$class/$1/bonding_slave/perm_hwaddr" 2>/dev/null || cat "$class/$1/address") || return
    kind=virtual armed=unknown
    if [ -e "$class/$1/device" ]; then
        kind=physical
        case $(cat "$class/$1/device/power/wakeup" 2>/dev/null) in enabled) armed=yes ;; disabled) armed=no ;; esac
        modes=$(ethtool "$1" 2>/dev/null | sed -n 's/^[[:blank:]]*Wake-on: //p')
        case $modes in *g*) armed=yes ;; ?*) armed=no ;; esac
    fi
    echo "card $1 $mac $kind $armed"
}
descend() {
    found=
    for lower in "$class/$1"/lower_*; do
        [ -e "$lower" ] || continue
        (descend "${lower##*/lower_}")
        found=yes
    done
    [ "$found" ] || [ -e "$class/$1/tun_flags" ] || show "$1"
}
echo "machine $(cat /proc/sys/kernel/random/boot_id) $(readlink /proc/self/ns/net)"
ip neigh show 2>/dev/null | sed 's/^/neighbour /'
set -- $SSH_CONNECTION
address=${3#::ffff:} address=${address%%%*}
[ "$address" ] || exit 0
name=$(ip -o addr show to "$address" | { read -r _ name _ && echo "${name%%@*}"; })
[ "$name" ] || exit 0
echo "top $(cat "$class/$name/address")"
descend "$name"
"""

SCRIPT = ("sh", "-c", _SCRIPT)


class NetworkCard(NamedTuple):
    """A network card; `is_armed` shows whether Wake-on-LAN is enabled, None if unknown."""

    name: str
    mac: str
    is_armed: bool | None = None


class MachineReport(NamedTuple):
    """The output of the script: the card if it was found, and the machine's neighbour table."""

    # Equal for two connections to one running machine.
    machine: str = ""
    card: NetworkCard | None = None
    neighbours: Mapping[str, str] = MappingProxyType({})


def parse_report(output: str) -> MachineReport:
    """Parse the output of `SCRIPT`."""
    lines = [line.partition(" ") for line in output.splitlines()]
    facts = {kind: rest for kind, _, rest in lines}
    cards = [rest.split() for kind, _, rest in lines if kind == "card"]
    neighbours = parse_neighbours(rest for kind, _, rest in lines if kind == "neighbour")
    return MachineReport(facts.get("machine", ""), _best(cards, facts.get("top", "").lower()), neighbours)


def _best(cards: Sequence[Sequence[str]], top: str) -> NetworkCard | None:
    """Return a physical card before others, and one with the MAC of the interface above them before others."""
    usable = [words for words in cards if len(words) == 4 and _MAC.fullmatch(words[1].lower()) and words[1] != _NO_MAC]
    ranked = sorted(usable, key=lambda words: (words[2] != "physical", words[1].lower() != top))
    if not ranked:
        return None
    name, mac, _, armed = ranked[0]
    return NetworkCard(name, mac.lower(), _ARMED.get(armed))
