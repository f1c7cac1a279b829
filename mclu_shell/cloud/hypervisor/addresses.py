"""Addresses of running guests from all of libvirt's sources. Errors are libvirt's."""

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

import libvirt

# Loopback and link-local addresses, which a guest agent reports, too.
_LOCAL_PREFIXES = ("127.", "169.254.", "::1", "fe80:")
_LEASE, _ARP = 0, 2
_AGENT = "org.qemu.guest_agent.0"
# In seconds, for each guest agent and for all that do not answer.
_AGENT_TIMEOUT_S, _MOST_AGENTS_S = 1, 2.0
# The duration of a lease in libvirt's networks, unless the network defines another.
_LEASE_S = 3600.0
_UNITS_S = {"seconds": 1, "minutes": 60, "hours": 3600}


class Address(NamedTuple):
    """An address of a guest from one source.

    `renewed_at` is the time (of the node, since the epoch) since which the guest has had it; None if unknown. A guest
    agent answers for the present run, so it is not asked for a time.
    """

    address: str
    is_current: bool = False
    renewed_at: float | None = None


def fetch_addresses(connection: Any, domains: Sequence[Any]) -> dict[str, tuple[Address, ...]]:
    """Return the addresses of running guests by UUID: DHCP leases, guest agents, ARP table."""
    if connection.getType() == "TEST":
        return _fetch_simulated(domains)
    if not domains:
        return {}
    by_mac = _fetch_leases(connection)
    sources = _Sources()
    addresses = {}
    for domain in domains:
        with contextlib.suppress(libvirt.libvirtError):  # The guest may be gone by now.
            devices = ET.fromstring(domain.XMLDesc(0)).find("devices")
            assert devices is not None
            macs = [mac.get("address", "").lower() for mac in devices.findall("./interface/mac")]
            leased = [lease for mac in macs for lease in by_mac.get(mac, ())]
            addresses[domain.UUIDString()] = _unique([*leased, *sources.ask(domain, devices, macs)])
    return addresses


def _fetch_simulated(domains: Sequence[Any]) -> dict[str, tuple[Address, ...]]:
    """Return the addresses that the test: driver invents for network cards; it has no leases of networks."""
    addresses = {}
    for domain in domains:
        with contextlib.suppress(libvirt.libvirtError):  # The guest may be gone by now.
            addresses[domain.UUIDString()] = tuple(
                Address(address["addr"], is_current=True)
                for card in domain.interfaceAddresses(_LEASE).values()
                for address in card["addrs"] or ()
            )
    return addresses


def _unique(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """Return each address once, with the best of what the sources know about it."""
    best: dict[str, Address] = {}
    for address in addresses:
        known = best.get(address.address)
        if known is None or (address.is_current, address.renewed_at or 0.0) > (
            known.is_current,
            known.renewed_at or 0.0,
        ):
            best[address.address] = address
    return tuple(found for found in best.values() if not found.address.startswith(_LOCAL_PREFIXES))


class _Sources:
    """The sources that are asked for each guest; those that do not answer are given up for the other guests."""

    def __init__(self) -> None:
        self._agents_s = 0.0
        self._has_arp = True

    def ask(self, domain: Any, devices: ET.Element, macs: Sequence[str]) -> list[Address]:
        """Return the addresses of a guest from its agent and the ARP table."""
        return [*self._ask_agent(domain, devices, macs), *(self._read_arp(domain) if macs else ())]

    def _ask_agent(self, domain: Any, devices: ET.Element, macs: Sequence[str]) -> list[Address]:
        target = devices.find(f"./channel/target[@name='{_AGENT}']")
        if target is None or target.get("state") != "connected" or self._agents_s > _MOST_AGENTS_S:
            return []
        started = time.monotonic()
        try:
            return [Address(address, is_current=True) for address in _agent_addresses(domain, macs)]
        except (libvirt.libvirtError, ValueError, KeyError, TypeError, AttributeError):
            # It hangs, or has no such command.
            self._agents_s += time.monotonic() - started
            return []

    def _read_arp(self, domain: Any) -> Iterator[Address]:
        if not self._has_arp:
            return
        try:
            interfaces = domain.interfaceAddresses(_ARP)
        except libvirt.libvirtError:
            # libvirt 9 cannot read the table of current kernels.
            self._has_arp = False
            return
        for interface in interfaces.values():
            yield from (Address(address["addr"]) for address in interface["addrs"] or ())


def _agent_addresses(domain: Any, macs: Sequence[str]) -> list[str]:
    """Return the addresses that a guest agent reports (qemu-ga's guest-network-get-interfaces), its NICs' first.

    This call has a timeout of its own. libvirt's interfaceAddresses has none, and its setting for one
    (virDomainAgentSetResponseTimeout) would stay and apply to all other clients.
    """
    import libvirt_qemu

    command = json.dumps({"execute": "guest-network-get-interfaces"})
    interfaces = json.loads(libvirt_qemu.qemuAgentCommand(domain, command, _AGENT_TIMEOUT_S, 0))["return"]
    interfaces.sort(key=lambda interface: interface.get("hardware-address", "").lower() not in macs)
    return [address["ip-address"] for interface in interfaces for address in interface.get("ip-addresses", ())]


def _fetch_leases(connection: Any) -> dict[str, list[Address]]:
    """Return the leases of libvirt's DHCP servers by MAC address, the newest first."""
    by_mac: dict[str, list[Address]] = {}
    with contextlib.suppress(libvirt.libvirtError):  # There may be no network driver.
        for network in connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE):
            duration_s = _lease_duration_s(network.XMLDesc(0))
            for lease in network.DHCPLeases():
                end = float(lease.get("expirytime") or 0)
                address = Address(lease["ipaddr"], renewed_at=end - duration_s if end else None)
                by_mac.setdefault((lease.get("mac") or "").lower(), []).append(address)
    for leases in by_mac.values():
        leases.sort(key=lambda address: -(address.renewed_at or 0.0))
    return by_mac


def _lease_duration_s(network_xml: str) -> float:
    """Return the longest duration of a network's leases (libvirt's formatnetwork.html, `<lease>`)."""
    leases = ET.fromstring(network_xml).findall(".//lease")
    durations = [float(lease.get("expiry", "60")) * _UNITS_S[lease.get("unit", "minutes")] for lease in leases]
    return max([_LEASE_S, *durations])
