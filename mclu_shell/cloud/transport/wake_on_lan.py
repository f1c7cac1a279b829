"""Wake-on-LAN: the magic packet that switches a node on."""

import socket
from typing import NamedTuple

from mclu_shell.config import NodeConfig
from mclu_shell.errors import NodeFault

_PORT = 9


class MagicPacket(NamedTuple):
    """The MAC, and the broadcast address and port, of a magic packet."""

    mac: str
    broadcast: str
    port: int = _PORT


def magic_packet(node: NodeConfig) -> MagicPacket:
    """Return the packet for a node; NodeFault if it has no MAC, or its broadcast address is unreachable."""
    if node.mac is None:
        raise NodeFault("cannot wake it: no mac= in mclu.conf", place=node.name)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            # For UDP, connect() checks the route and sends nothing.
            sock.connect((node.broadcast, _PORT))
    except OSError as error:
        raise _send_fault(node, error) from error
    return MagicPacket(node.mac, node.broadcast)


def send_magic_packet(node: NodeConfig) -> None:
    """Broadcast a node's packet once; NodeFault as for `magic_packet`, or if sending fails."""
    packet = magic_packet(node)
    # The import takes 45 ms.
    import wakeonlan

    try:
        wakeonlan.wake(packet.mac, host=packet.broadcast, port=packet.port)
    except OSError as error:
        raise _send_fault(node, error) from error


def _send_fault(node: NodeConfig, error: OSError) -> NodeFault:
    return NodeFault(
        f"cannot send the magic packet: {error.strerror}",
        place=node.name,
        remedy="set broadcast= in mclu.conf to the broadcast address of the node's network",
    )
