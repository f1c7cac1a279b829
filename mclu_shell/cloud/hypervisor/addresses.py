"""Addresses of running guests from all of libvirt's sources. Errors are libvirt's."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import libvirt

from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.cloud.hypervisor import guest_agent
from mclu_shell.parsing.address import parse_guest_address
from mclu_shell.parsing.limits import InvalidData, parse_count
from mclu_shell.parsing.xml import parse_xml

# Of one guest: a guest agent may report any number.
_MOST_ADDRESSES = 32
_LEASE, _ARP = 0, 2
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


class Findings(NamedTuple):
    """Addresses of guests by UUID, and the MAC addresses of those guests whose agents can be asked for more."""

    addresses: dict[str, tuple[Address, ...]]
    agents: dict[str, tuple[str, ...]]


def fetch_addresses(connection: Any, domains: Sequence[Any]) -> Findings:
    """Return the addresses of running guests from DHCP leases and the ARP table."""
    findings = Findings({}, {})
    if connection.getType() == "TEST":
        return findings._replace(addresses=_fetch_simulated(domains))
    if not domains:
        return findings
    by_mac = _fetch_leases(connection)
    arp = _ARPTable()
    for domain in domains:
        with contextlib.suppress(libvirt.libvirtError, InvalidData):  # The guest may be gone by now.
            devices = parse_xml(domain.XMLDesc(0)).find("devices")
            if devices is None:
                continue
            macs = tuple([mac.get("address", "").lower() for mac in devices.findall("./interface/mac")])
            leased = [lease for mac in macs for lease in by_mac.get(mac, ())]
            findings.addresses[domain.UUIDString()] = unique([*leased, *(arp.read(domain) if macs else ())])
            if guest_agent.is_connected(devices):
                findings.agents[domain.UUIDString()] = macs
    return findings


def fetch_agent_addresses(connection: Any, agents: Mapping[str, Sequence[str]]) -> dict[str, tuple[Address, ...]]:
    """Return the addresses that guest agents report, all asked at the same time; `agents` as in `Findings`."""

    def ask(uuid: str) -> tuple[Address, ...]:
        with contextlib.suppress(libvirt.libvirtError):  # The guest may be gone by now.
            reported = guest_agent.fetch_addresses(connection.lookupByUUIDString(uuid), agents[uuid])
            return tuple([address for text in reported for address in _read(text, is_current=True)])
        return ()

    return {outcome.item: outcome.unwrap() for outcome in gather(agents, ask)}


def _fetch_simulated(domains: Sequence[Any]) -> dict[str, tuple[Address, ...]]:
    """Return the addresses that the test: driver invents for network cards; it has no leases of networks."""
    addresses = {}
    for domain in domains:
        with contextlib.suppress(libvirt.libvirtError):  # The guest may be gone by now.
            cards = domain.interfaceAddresses(_LEASE).values()
            found = [address["addr"] for card in cards for address in card["addrs"] or ()]
            addresses[domain.UUIDString()] = tuple(one for text in found for one in _read(text, is_current=True))
    return addresses


def _read(text: object, *, is_current: bool = False, renewed_at: float | None = None) -> Iterator[Address]:
    """Yield the address that a source reports; nothing if no guest can have it."""
    if (address := parse_guest_address(text)) is not None:
        yield Address(address, is_current, renewed_at)


def unique(addresses: Sequence[Address]) -> tuple[Address, ...]:
    """Return each address once, with the best of what the sources know about it; at most 32."""
    best: dict[str, Address] = {}
    for address in addresses:
        known = best.get(address.address)
        if known is None or (address.is_current, address.renewed_at or 0.0) > (
            known.is_current,
            known.renewed_at or 0.0,
        ):
            best[address.address] = address
    return tuple(best.values())[:_MOST_ADDRESSES]


class _ARPTable:
    """The node's ARP table, as far as libvirt can read it."""

    def __init__(self) -> None:
        self._is_readable = True

    def read(self, domain: Any) -> Iterator[Address]:
        """Return the addresses of a guest."""
        if not self._is_readable:
            return
        try:
            interfaces = domain.interfaceAddresses(_ARP)
        except libvirt.libvirtError:
            # libvirt 9 cannot read the table of current kernels.
            self._is_readable = False
            return
        for interface in interfaces.values():
            for address in interface["addrs"] or ():
                yield from _read(address["addr"])


def _fetch_leases(connection: Any) -> dict[str, list[Address]]:
    """Return the leases of libvirt's DHCP servers by MAC address, the newest first."""
    by_mac: dict[str, list[Address]] = {}
    with contextlib.suppress(libvirt.libvirtError, InvalidData):  # There may be no network driver.
        for network in connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE):
            duration_s = read_lease_duration(network.XMLDesc(0))
            for lease in network.DHCPLeases():
                end = float(lease.get("expirytime") or 0)
                addresses = _read(lease["ipaddr"], renewed_at=end - duration_s if end else None)
                by_mac.setdefault((lease.get("mac") or "").lower(), []).extend(addresses)
    for leases in by_mac.values():
        leases.sort(key=lambda address: -(address.renewed_at or 0.0))
    return by_mac


def read_lease_duration(network_xml: str) -> float:
    """Return the longest duration of a network's leases in seconds (libvirt's formatnetwork.html, `<lease>`).

    Raise InvalidData for an unknown unit.
    """
    durations = [_LEASE_S]
    for lease in parse_xml(network_xml).findall(".//lease"):
        unit = lease.get("unit", "minutes")
        if unit not in _UNITS_S:
            raise InvalidData(f"unknown unit {unit[:40]!r} of leases")
        durations.append(float(parse_count(lease.get("expiry", "60")) * _UNITS_S[unit]))
    return max(durations)
