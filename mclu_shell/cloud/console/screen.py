"""A guest's screen, forwarded to a port of this machine."""

from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.console.devices import fetch_devices
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest_name import guest_command
from mclu_shell.cloud.transport.forward import Address, PortForward
from mclu_shell.errors import MCluError
from mclu_shell.parsing.limits import is_count

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

# A server that listens on all addresses is reached at the node's loopback address.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class Screen(NamedTuple):
    """A guest's screen: its address on the node, and its protocol, vnc or spice."""

    node: Node
    guest: str
    protocol: str
    address: Address

    def open(self) -> PortForward:
        """Forward a port of this machine to the screen; raise MCluError if nothing answers there.

        A unix socket would need no check of who connects, but remote-viewer supports one only for SPICE
        (remote-viewer(1), unix-path).
        """
        try:
            self.node.connect(self.address).close()
        except OSError as error:
            raise MCluError(f"the screen of {self.guest} does not answer", place=self.node.name) from error
        return PortForward(lambda: self.node.connect(self.address))

    def uri(self, forward: PortForward) -> str:
        """Return the URI for a viewer."""
        host, port = forward.address
        return f"{self.protocol}://{host}:{port}"


def find_screen(node: Node, name: str) -> Screen:
    """Find the screen of a running guest; raise MCluError if it has none that can be reached."""
    graphics = fetch_devices(node, name, "screens").findall("./graphics")
    screens = [element for element in graphics if element.get("type") in ("vnc", "spice")]
    for element in screens:
        address = graphics_address(element)
        if address is not None:
            return Screen(node, name, element.get("type", ""), address)
    if screens:
        raise MCluError(f"cannot reach the screen of {name}: it has no address without TLS", place=node.name)
    raise MCluError(
        f"{name} has no graphics",
        place=node.name,
        remedy="add <graphics type='vnc'/> to its devices with 'virsh edit', "
        f"or run {guest_command('console', node.name, name)}",
    )


def graphics_address(graphics: "ET.Element") -> Address | None:
    """Return the address of a running guest's <graphics> element on its node; None if it needs TLS or has none."""
    sockets = [graphics.get("socket"), *(listen.get("socket") for listen in graphics.findall("./listen"))]
    for path in sockets:
        if path:
            return path
    port = graphics.get("port", "")
    if not is_count(port) or int(port) >= 1 << 16:
        return None
    addresses = [listen.get("address") for listen in graphics.findall("./listen")]
    host = next((address for address in addresses if address), graphics.get("listen", ""))
    return _EVERYWHERE.get(host, host), int(port)
