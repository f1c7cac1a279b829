"""Wake-on-LAN: the magic packet that switches a node on."""

from mclu_shell.config import NodeConfig
from mclu_shell.errors import NodeFault


def send_magic_packet(node: NodeConfig) -> None:
    """Broadcast the magic packet for a node's MAC once; NodeFault if it has none, or it cannot leave here."""
    if node.mac is None:
        raise NodeFault("no mac= in mclu.conf, so it cannot be woken", place=node.name)
    # 45 ms, for this alone.
    import wakeonlan

    try:
        wakeonlan.wake(node.mac, host=node.broadcast)
    except OSError as error:
        raise NodeFault(
            f"the magic packet could not be sent: {error.strerror}",
            place=node.name,
            remedy="set broadcast= in mclu.conf to the broadcast address of the node's network",
        ) from error
