"""A guest's screen, as its node offers it, on a port of this machine."""

from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.console.devices import fetch_devices
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest_name import to_type
from mclu_shell.cloud.transport.forward import Address, PortForward
from mclu_shell.errors import MCluError

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

# Where a server listens on all addresses, the node reaches it on its own.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class Screen(NamedTuple):
    """Where a guest's screen is to be had on its node, and by which protocol: vnc or spice."""

    node: Node
    guest: str
    protocol: str
    address: Address

    def open(self) -> PortForward:
        """A port of this machine that leads there; raises if nothing answers there.

        Not a unix socket, which would need no look at who connects: remote-viewer takes one for SPICE alone
        (remote-viewer(1), unix-path).
        """
        try:
            self.node.connect(self.address).close()
        except OSError as error:
            raise MCluError(f"the screen of {self.guest} does not answer", place=self.node.name) from error
        return PortForward(lambda: self.node.connect(self.address))

    def uri(self, forward: PortForward) -> str:
        """The address for a viewer."""
        host, port = forward.address
        return f"{self.protocol}://{host}:{port}"


def find_screen(node: Node, name: str) -> Screen:
    """The screen of a running guest; raises if it has none that can be reached."""
    graphics = fetch_devices(node, name, "screens").findall("./graphics")
    offered = [element for element in graphics if element.get("type") in ("vnc", "spice")]
    for element in offered:
        address = graphics_address(element)
        if address is not None:
            return Screen(node, name, element.get("type", ""), address)
    if offered:
        raise MCluError(f"the screen of {name} listens nowhere that can be reached without TLS", place=node.name)
    raise MCluError(
        f"{name} has no graphics",
        place=node.name,
        remedy="in 'virsh edit', a line <graphics type='vnc'/> among its devices gives it some; "
        f"{to_type('console', node.name, name)} is its serial console",
    )


def graphics_address(graphics: "ET.Element") -> Address | None:
    """Where a <graphics> element of a running guest listens, as its node reaches it without TLS; None if nowhere."""
    sockets = [graphics.get("socket"), *(listen.get("socket") for listen in graphics.findall("./listen"))]
    for path in sockets:
        if path:
            return path
    port = graphics.get("port", "")
    if not port.isdecimal():
        return None
    addresses = [listen.get("address") for listen in graphics.findall("./listen")]
    host = next((address for address in addresses if address), graphics.get("listen", ""))
    return _EVERYWHERE.get(host, host), int(port)
