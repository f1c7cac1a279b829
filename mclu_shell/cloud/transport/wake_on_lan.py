"""Wake-on-LAN: the magic packet that switches a node on."""

import socket
from typing import NamedTuple

from mclu_shell.config import NodeConfig
from mclu_shell.errors import NodeFault

_PORT = 9


class MagicPacket(NamedTuple):
    """For which MAC it is, and where it is broadcast."""

    mac: str
    broadcast: str
    port: int = _PORT


def magic_packet(node: NodeConfig) -> MagicPacket:
    """The packet for a node; NodeFault if it has no MAC, or nothing can be sent there from here."""
    if node.mac is None:
        raise NodeFault("no mac= in mclu.conf, so it cannot be woken", place=node.name)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            # This looks for a route, and sends nothing.
            sock.connect((node.broadcast, _PORT))
    except OSError as error:
        raise _not_sent(node, error) from error
    return MagicPacket(node.mac, node.broadcast)


def send_magic_packet(node: NodeConfig) -> None:
    """Broadcast a node's packet once; NodeFault if it has none, or it cannot leave here."""
    packet = magic_packet(node)
    # 45 ms, for this alone.
    import wakeonlan

    try:
        wakeonlan.wake(packet.mac, host=packet.broadcast, port=packet.port)
    except OSError as error:
        raise _not_sent(node, error) from error


def _not_sent(node: NodeConfig, error: OSError) -> NodeFault:
    return NodeFault(
        f"the magic packet could not be sent: {error.strerror}",
        place=node.name,
        remedy="set broadcast= in mclu.conf to the broadcast address of the node's network",
    )
