"""The devices of a guest that runs, from its XML (libvirt's formatdomain.html)."""

from typing import TYPE_CHECKING

from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest_name import to_type
from mclu_shell.errors import MCluError, NodeFault, Refused

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET


def fetch_devices(node: Node, name: str, what: str) -> "ET.Element":
    """A running guest's devices; raises if it does not run, or is simulated and so has no `what` (a plural)."""
    devices = fetch_domain(node, name, what).find("devices")
    if devices is None:
        raise MCluError(f"{name} has no devices", place=node.name)
    return devices


def fetch_domain(node: Node, name: str, what: str) -> "ET.Element":
    """A running guest's XML; raises as `fetch_devices` does."""
    # 8 ms, and a one-shot that asks for something else does not need it.
    from xml.etree import ElementTree as ET

    xml = node.query(lambda client: client.fetch_live_xml(name))
    if xml is None:
        raise Refused(f"{name} is not running", place=node.name, remedy=f"run {to_type('start', node.name, name)}")
    domain = ET.fromstring(xml)
    if domain.get("type") == "test":
        raise NodeFault(f"is simulated: its guests have no {what}", place=node.name)
    return domain
