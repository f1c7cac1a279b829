"""One libvirt connection: records out, errors translated once. The only importer of libvirt."""

import contextlib
import logging
import time
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import libvirt

from mclu_shell.cloud.guest import Guest, NodeInfo, NodeReport
from mclu_shell.errors import LibvirtFault, LinkLost

_log = logging.getLogger(__name__)

# By default libvirt writes each error to stderr, also those that are told in our own words.
libvirt.registerErrorHandler(lambda _context, _error: None, None)

# virDomainState, in virsh's words.
_STATES = ("no state", "running", "idle", "paused", "in shutdown", "shut off", "crashed", "pmsuspended")
_STATS = libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_VCPU
_WHICH = MappingProxyType(
    {
        None: 0,
        True: libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE,
        False: libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE,
    }
)


class Hypervisor:
    """An open connection to a node's libvirt. Every method is a remote call and ends when the socket is cut."""

    def __init__(self, node: str, uri: str) -> None:
        self.node = node
        with self._call(f"open {uri}"):
            self._connection: Any = libvirt.open(uri)

    def close(self) -> None:
        """Give up the connection; cut its socket first, or this waits for an answer."""
        with contextlib.suppress(libvirt.libvirtError):
            self._connection.close()

    def fetch_report(self) -> NodeReport:
        """The node's resources and its running guests: three calls, however many guests there are."""
        return NodeReport(self._fetch_info(), self.fetch_guests(active=True))

    def _fetch_info(self) -> NodeInfo:
        with self._call("getInfo"):
            _, memory_mib, pcpus, *_ = self._connection.getInfo()
        total = memory_mib << 20
        with self._call("getMemoryStats"):
            try:
                # In KiB. getInfo's total can be that of a control group, not of the machine.
                stats = self._connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                    raise
                return NodeInfo(pcpus, total, total)
        available = sum(stats.get(key, 0) for key in ("free", "buffers", "cached"))
        return NodeInfo(pcpus, stats.get("total", total >> 10) << 10, available << 10)

    def fetch_guests(self, *, active: bool | None = None) -> tuple[Guest, ...]:
        """The guests, by name: the running ones, those that are not, or (None) all of them."""
        with self._call("getAllDomainStats"):
            found = self._connection.getAllDomainStats(_STATS, _WHICH[active])
            guests = [self._guest(domain, stats) for domain, stats in found]
        addresses = self._fetch_addresses([domain for domain, _ in found]) if active is not False else {}
        known = (_with_addresses(guest, addresses.get(guest.uuid, ())) for guest in guests)
        return tuple(sorted(known, key=lambda guest: guest.name))

    def _guest(self, domain: Any, stats: dict[str, Any]) -> Guest:
        if "balloon.maximum" in stats and "vcpu.current" in stats:
            memory_kib, vcpus = stats["balloon.maximum"], stats["vcpu.current"]
        else:
            # The test: driver reports neither; it is in this process, so a call costs nothing there.
            _, memory_kib, _, vcpus, _ = domain.info()
        state = _STATES[stats["state.state"]] if stats["state.state"] < len(_STATES) else "no state"
        return Guest(self.node, domain.name(), domain.UUIDString(), state, memory_kib << 10, vcpus)

    def _fetch_addresses(self, domains: list[Any]) -> dict[str, tuple[str, ...]]:
        """Guests' addresses by UUID, from the leases of libvirt's own networks."""
        by_mac = self._fetch_leases() if domains else {}
        if not by_mac:
            return {}
        found = {}
        for domain in domains:
            with contextlib.suppress(libvirt.libvirtError):  # The guest may be gone by now.
                macs = _macs(domain.XMLDesc(0))
                found[domain.UUIDString()] = tuple(by_mac[mac] for mac in macs if mac in by_mac)
        return found

    def _fetch_leases(self) -> dict[str, str]:
        try:
            with self._call("DHCPLeases"):
                networks = self._connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
                leases = [lease for network in networks for lease in network.DHCPLeases()]
        except LibvirtFault:
            # A node without the network driver, or the test: driver: then no address is known.
            return {}
        return {lease["mac"].lower(): lease["ipaddr"] for lease in leases if lease.get("mac")}

    @contextlib.contextmanager
    def _call(self, name: str) -> Iterator[None]:
        """Time a remote call and translate its error."""
        started = time.perf_counter()
        try:
            yield
        except libvirt.libvirtError as error:
            raise self._fault(error) from error
        finally:
            _log.debug("%s: libvirt %s: %.1f ms", self.node, name, (time.perf_counter() - started) * 1000)

    def _fault(self, error: libvirt.libvirtError) -> LibvirtFault | LinkLost:
        if self._is_dead() or error.get_error_code() in (libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_SYSTEM_ERROR):
            return LinkLost("the connection to libvirtd was lost", place=self.node)
        return LibvirtFault(f"libvirt: {error.get_error_message()}", place=self.node)

    def _is_dead(self) -> bool:
        try:
            return not self._connection.isAlive()
        except (AttributeError, libvirt.libvirtError):
            return True


def _with_addresses(guest: Guest, addresses: tuple[str, ...]) -> Guest:
    if not addresses:
        return guest
    return Guest(guest.node, guest.name, guest.uuid, guest.state, guest.memory_bytes, guest.vcpus, addresses)


def _macs(xml: str) -> list[str]:
    """The MAC addresses of a domain's interfaces."""
    # 8 ms, and most nodes have no leases.
    from xml.etree import ElementTree as ET

    found = ET.fromstring(xml).findall("./devices/interface/mac")
    return [mac.get("address", "").lower() for mac in found]
