"""Devices of a running guest, from its XML (libvirt's formatdomain.html)."""

from typing import TYPE_CHECKING

from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest_name import guest_command
from mclu_shell.errors import MCluError, NodeFault, Refused

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET


def fetch_devices(node: Node, name: str, feature: str) -> "ET.Element":
    """Fetch a running guest's devices; raise if it does not run.

    A simulated guest is an error that names the missing `feature`, such as "consoles".
    """
    devices = fetch_domain(node, name, feature).find("devices")
    if devices is None:
        raise MCluError(f"{name} has no devices", place=node.name)
    return devices


def fetch_domain(node: Node, name: str, feature: str) -> "ET.Element":
    """Fetch a running guest's XML; raise as `fetch_devices` does."""
    from mclu_shell.parsing.limits import InvalidData
    from mclu_shell.parsing.xml import parse_xml

    xml = node.query(lambda client: client.fetch_live_xml(name))
    if xml is None:
        raise Refused(
            f"{name} is not running", place=node.name, remedy=f"run {guest_command('start', node.name, name)}"
        )
    try:
        domain = parse_xml(xml)
    except InvalidData as error:
        raise error.with_context(fact=f"{name}: {error.fact}", place=node.name) from None
    if domain.get("type") == "test":
        raise NodeFault(f"simulated guests have no {feature}", place=node.name)
    return domain
