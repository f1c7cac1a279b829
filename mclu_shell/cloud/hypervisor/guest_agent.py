"""Requests to guest agents (qemu-ga) of running guests. Errors are libvirt's."""

import contextlib
import json
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from mclu_shell.parsing.json_text import parse_json
from mclu_shell.parsing.limits import InvalidData
from mclu_shell.parsing.xml import parse_xml

_CHANNEL = "org.qemu.guest_agent.0"
# In seconds. libvirt only keeps it after an earlier request that was answered (qemuAgentGuestSync).
_TIMEOUT_S = 1


def is_connected(devices: ET.Element) -> bool:
    """Return whether a program in the guest has opened the agent's channel, from the guest's devices."""
    target = devices.find(f"./channel/target[@name='{_CHANNEL}']")
    return target is not None and target.get("state") == "connected"


def is_hung(domain: Any) -> bool:
    """Return whether a guest's agent is connected, but does not answer."""
    devices = parse_xml(domain.XMLDesc(0)).find("devices")
    if devices is None or not is_connected(devices):
        return False
    try:
        _ask(domain, "guest-ping")
    except libvirt.libvirtError:
        return True
    return False


def fetch_addresses(domain: Any, macs: Sequence[str]) -> list[str]:
    """Return the addresses that a guest's agent reports, first those of NICs with these MAC addresses.

    Return none if it does not answer, or has no such command.
    """
    with contextlib.suppress(libvirt.libvirtError, InvalidData):
        return read_addresses(_ask(domain, "guest-network-get-interfaces"), macs)
    return []


def read_addresses(answer: str, macs: Sequence[str]) -> list[str]:
    """Return the addresses in an agent's answer, first those of NICs with these MAC addresses; raise InvalidData."""
    try:
        interfaces = parse_json(answer)["return"]
        interfaces.sort(key=lambda interface: interface.get("hardware-address", "").lower() not in macs)
        return [address["ip-address"] for interface in interfaces for address in interface.get("ip-addresses", ())]
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidData(f"unexpected answer of a guest agent ({error!r})") from None


def _ask(domain: Any, command: str) -> str:
    """Return an agent's answer to a command (QEMU's qemu-ga-ref).

    This call has a timeout of its own. libvirt's calls for single purposes have none, and its setting for one
    (virDomainAgentSetResponseTimeout) would stay and apply to all other clients.
    """
    import libvirt_qemu

    request = json.dumps({"execute": command})
    return str(libvirt_qemu.qemuAgentCommand(domain, request, _TIMEOUT_S, 0))
