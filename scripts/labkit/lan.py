"""The LAN: addresses, the operator's bridge, and a veth pair to each node."""

import subprocess
from pathlib import Path

from labkit.errors import LabError

BRIDGE = "lan0"
OPERATOR = "10.73.0.1"
BROADCAST = "10.73.255.255"
PREFIX = 16
MOST_NODES = 999


def address_of(number: int) -> str:
    """Return the IPv4 address of node number `number`."""
    return f"10.73.{1 + number // 250}.{1 + number % 250}"


def mac_of(number: int) -> str:
    """Return the MAC address of node number `number`, in QEMU's range."""
    return f"52:54:00:73:{number >> 8:02x}:{number & 255:02x}"


def ip(*commands: str) -> None:
    """Run commands of iproute2 in one process."""
    done = subprocess.run(["ip", "-batch", "-"], input="\n".join(commands), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"ip: {done.stderr.strip()}")


def disable_ipv6() -> None:
    """Disable IPv6 in this namespace, to avoid neighbour discovery on the LAN."""
    switch = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    if switch.exists():
        switch.write_text("1\n")


def make_bridge() -> None:
    """Make the LAN with the operator's address."""
    disable_ipv6()
    ip(
        "link set lo up",
        f"link add {BRIDGE} type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
        f"address add {OPERATOR}/{PREFIX} broadcast {BROADCAST} dev {BRIDGE}",
        f"link set {BRIDGE} up",
        # A bridge without a port that is up has no carrier and sends nothing: no node could be woken if all are off.
        "link add name plug type veth peer name plug-end",
        "link set plug-end up",
        f"link set plug master {BRIDGE} up",
    )


def plug_in(node: str, number: int, pid: int) -> None:
    """Connect the bridge with the network namespace of a process, where the interface is eth0."""
    ip(
        f"link add {node} type veth peer name eth0 address {mac_of(number)} netns {pid}",
        f"link set {node} master {BRIDGE} up",
    )


def unplug(node: str) -> None:
    """Remove a node's interface, if there is one, so that no packet of its shutdown reaches the LAN."""
    subprocess.run(["ip", "link", "delete", node], stderr=subprocess.DEVNULL, check=False)


def configure_node(number: int) -> None:
    """Set the address of the node whose network namespace this process is in."""
    disable_ipv6()
    ip(
        "link set lo up",
        f"address add {address_of(number)}/{PREFIX} broadcast {BROADCAST} dev eth0",
        "link set eth0 up",
    )
