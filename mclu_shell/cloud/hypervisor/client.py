"""One libvirt connection: records out, errors translated once. Nothing but this package imports libvirt."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import libvirt

from mclu_shell.cloud.hypervisor.domain import VERBS, first_known, interfaces, require_disks
from mclu_shell.cloud.hypervisor.stream import ConsoleStream
from mclu_shell.cloud.state.guest import Guest, GuestEvent, NodeInfo, NodeReport
from mclu_shell.errors import ConnectionLost, LibvirtFault, NotFound, Refused

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.capabilities import Capabilities
    from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition

T = TypeVar("T")

_log = logging.getLogger(__name__)

# By default libvirt writes each error to stderr, also those that are told in our own words.
libvirt.registerErrorHandler(lambda _context, _error: None, None)

# virDomainState, in virsh's words.
_STATES = ("no state", "running", "idle", "paused", "in shutdown", "shut off", "crashed", "pmsuspended")
_STATS = libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_VCPU
# A guest that something is done to, or that hangs, has no say: what is asked here libvirt knows without it.
_NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_WHICH = MappingProxyType(
    {
        None: _NOWAIT,
        True: _NOWAIT | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE,
        False: _NOWAIT | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE,
    }
)
# The state that a lifecycle event leads to (virDomainEventType); of the others only asking tells.
_EVENT_STATES = MappingProxyType(
    {
        libvirt.VIR_DOMAIN_EVENT_STARTED: "running",
        libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "paused",
        libvirt.VIR_DOMAIN_EVENT_RESUMED: "running",
        libvirt.VIR_DOMAIN_EVENT_STOPPED: "shut off",
        libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: "in shutdown",
        libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: "pmsuspended",
        libvirt.VIR_DOMAIN_EVENT_CRASHED: "crashed",
    }
)
# After these, too, something that is shown may have changed.
_OTHER_EVENTS = (
    libvirt.VIR_DOMAIN_EVENT_ID_REBOOT,
    libvirt.VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE,
    libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
)


def _run_loop() -> None:
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()


libvirt.virEventRegisterDefaultImpl()  # A connection that was opened before hears of no event.
threading.Thread(target=_run_loop, name="libvirt events", daemon=True).start()


class LibvirtClient:
    """An open connection to a node's libvirt. Every method is a remote call and ends when the socket is cut."""

    def __init__(self, node: str, uri: str) -> None:
        self.node = node
        self._connection: Any = None
        self._hardware: tuple[int, int] | None = None
        self._subscriptions: list[int] = []
        self.is_subscribed = False
        with self._call(f"open {uri}"):
            self._connection = libvirt.open(uri)

    def close(self) -> None:
        """Give up the connection; cut its socket first, or this waits for an answer."""
        # Each subscription holds the connection, which would stay open with its socket.
        for number in self._subscriptions:
            with contextlib.suppress(libvirt.libvirtError):
                self._connection.domainEventDeregisterAny(number)
        if self._subscriptions:
            with contextlib.suppress(libvirt.libvirtError):
                self._connection.unregisterCloseCallback()
        with contextlib.suppress(libvirt.libvirtError):
            self._connection.close()

    def subscribe(self, happened: Callable[[GuestEvent], None], lost: Callable[[], None]) -> None:
        """Be told of what happens to guests, and of the connection's end, by the thread of the event loop."""

        def lifecycle(_connection: Any, domain: Any, event: int, _detail: int, _opaque: None) -> None:
            happened(GuestEvent(domain.UUIDString(), domain.name(), _EVENT_STATES.get(event)))

        def other(_connection: Any, domain: Any, *_more: Any) -> None:
            happened(GuestEvent(domain.UUIDString(), domain.name(), None))

        with self._call("domainEventRegisterAny"):
            # First of all, so that `close` takes back what there is.
            self._connection.registerCloseCallback(lambda *_more: lost(), None)
            listeners = {libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE: lifecycle, **dict.fromkeys(_OTHER_EVENTS, other)}
            for kind, listener in listeners.items():
                number = self._connection.domainEventRegisterAny(None, kind, listener, None)
                self._subscriptions.append(number)
        self.is_subscribed = True

    def ping(self) -> None:
        """Have libvirt answer something small."""
        with self._call("NumOfDomains"):
            self._connection.numOfDomains()

    def fetch_report(self) -> NodeReport:
        """The node's resources and all its guests: three calls, however many guests there are."""
        return NodeReport(self._fetch_info(), self.fetch_guests())

    def _fetch_info(self) -> NodeInfo:
        if self._hardware is None:
            with self._call("getInfo"):
                _, memory_mib, pcpus, *_ = self._connection.getInfo()
            # It stays the same for as long as the node, and with it this connection, is up.
            self._hardware = (memory_mib << 20, pcpus)
        total, pcpus = self._hardware
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

    def fetch_guests(self, *, active: bool | None = None, addresses: bool = False) -> tuple[Guest, ...]:
        """The guests, by name: the running ones, those that are not, or (None) all of them."""
        with self._call("getAllDomainStats"):
            found = self._connection.getAllDomainStats(_STATS, _WHICH[active])
            guests = [self._guest(domain, stats) for domain, stats in found]
        if addresses:
            known = self._fetch_addresses([domain for domain, _ in found])
            guests = [guest._replace(addresses=known.get(guest.uuid, ())) for guest in guests]
        return tuple(sorted(guests, key=lambda guest: guest.name))

    def fetch_capabilities(self, *, kvm: bool) -> "Capabilities":
        """What the node can do for a guest, with KVM or without; LibvirtFault if it cannot do it at all."""
        # XML takes 10 ms to import, and only a boot needs it.
        from mclu_shell.cloud.hypervisor.capabilities import Capabilities, parse_capabilities

        kind = "kvm" if kvm else "qemu"
        with self._call("getDomainCapabilities"):
            if self._connection.getType() == "TEST":
                return Capabilities("test", "", "i686", {}, frozenset(), frozenset(), frozenset())
            answers = [self._connection.getDomainCapabilities(None, None, None, kind, 0)]
            arch = answers[0].partition("<arch>")[2].partition("</arch>")[0]
            if arch == "x86_64":
                for machine in ("q35", "pc"):
                    with contextlib.suppress(libvirt.libvirtError):  # An emulator without this machine type.
                        answers.append(self._connection.getDomainCapabilities(None, arch, machine, kind, 0))
        return parse_capabilities(answers)

    def fetch_networks(self) -> frozenset[str]:
        """The names of libvirt's active networks; none where there is no network driver."""
        try:
            with self._call("listAllNetworks"):
                found = self._connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)
                return frozenset(network.name() for network in found)
        except LibvirtFault:
            return frozenset()

    def fetch_definitions(self) -> dict[str, "DomainDefinition"]:
        """All that libvirt knows of every guest's files, by UUID: some calls per guest, for `destroy` alone."""
        found = {}
        with self._call("XMLDesc of all"):
            for domain in self._connection.listAllDomains():
                try:
                    found[domain.UUIDString()] = self._definition(domain)
                except libvirt.libvirtError as error:
                    if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:  # It has gone meanwhile.
                        raise
        return found

    def _definition(self, domain: Any) -> "DomainDefinition":
        # Only `destroy` needs it.
        from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition, volumes

        xmls = [domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)]
        if domain.isActive():
            xmls.append(domain.XMLDesc(0))
        if self._connection.getType() != "TEST" and domain.hasManagedSaveImage(0):
            xmls.append(domain.managedSaveGetXMLDesc(0))
        snapshots = [snapshot.getXMLDesc(0) for snapshot in domain.listAllSnapshots(0)]
        named = sorted({volume for xml in (*xmls, *snapshots) for volume in volumes(xml)})
        paths = (self._volume_path(*volume) for volume in named)
        return DomainDefinition(domain.name(), tuple(xmls), tuple(snapshots), tuple(filter(None, paths)))

    def _volume_path(self, pool: str, volume: str) -> str:
        """The file of a volume, also where its pool is not active; empty where there is no such pool."""
        from mclu_shell.cloud.hypervisor.domain_files import path_in_pool

        try:
            return path_in_pool(self._connection.storagePoolLookupByName(pool).XMLDesc(0), volume)
        except libvirt.libvirtError as error:
            if error.get_error_code() in (libvirt.VIR_ERR_NO_STORAGE_POOL, libvirt.VIR_ERR_NO_SUPPORT):
                return ""
            raise

    def fetch_state(self, name: str) -> str | None:
        """A guest's state in virsh's words; None if there is no such guest."""
        with self._call("state"):
            return self._of(name, lambda domain: _STATES[domain.state()[0]])

    def is_persistent(self, name: str) -> bool:
        """Whether there is a guest that is kept when it stops."""
        with self._call("isPersistent"):
            return bool(self._of(name, lambda domain: domain.isPersistent()))

    def require_disks(self, name: str) -> None:
        """Raise libvirt's own error if a file is not there that a guest's disk is, without which it does not start."""
        with self._call("blockInfo"):
            self._of(name, require_disks)

    def fetch_live_xml(self, name: str) -> str | None:
        """A guest's XML as it runs now, with the ports and devices that it got; None if it does not run."""
        with self._call("XMLDesc"):
            return self._of(name, lambda domain: str(domain.XMLDesc(0)) if domain.isActive() else None)

    def set_metadata(self, name: str, xml: str, namespace: str) -> None:
        """Keep an element in a running guest's metadata, for as long as it runs, in place of one of its namespace."""
        with self._call("setMetadata"):
            how = (libvirt.VIR_DOMAIN_METADATA_ELEMENT, xml, "mclu", namespace, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            self._of(name, lambda domain: domain.setMetadata(*how))

    def open_console(self, name: str, *, force: bool) -> "ConsoleStream":
        """The first console of a guest; `force` takes it away from whoever has it."""
        with self._call("openConsole"):
            stream = self._connection.newStream(0)
            flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else 0
            try:
                self._connection.lookupByName(name).openConsole(None, stream, flags)
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_OPERATION_FAILED:
                    raise
                raise Refused(
                    f"the console of {name} is in use", place=self.node, remedy="--force takes it over"
                ) from error
        return ConsoleStream(stream, self._streaming)

    def define(self, xml: str) -> None:
        """Define a guest that is not there yet; LibvirtFault if there is one of its name."""
        with self._call("defineXML"):
            is_real = self._connection.getType() != "TEST"
            self._connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE if is_real else 0)

    def change(self, name: str, verb: str, uuid: str) -> None:
        """Do `start`, `resume`, `shutdown`, `reboot`, `reset`, `stop` (virsh's destroy) or `undefine` to a guest.

        It is the UUID that counts: meanwhile the name may have become another guest's.
        """
        with self._call(verb):
            try:
                VERBS[verb](self._connection.lookupByUUIDString(uuid))
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
                raise NotFound(f"no such guest {name!r}", place=self.node) from error

    def _of(self, name: str, question: Callable[[Any], T]) -> T | None:
        """What a guest answers; None if there is no such guest, or not any more when it is asked."""
        try:
            return question(self._connection.lookupByName(name))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

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
        # XML takes 8 ms to import, and most nodes have no leases.
        from mclu_shell.cloud.hypervisor.domain_files import mac_addresses

        found = {}
        for domain in domains:
            with contextlib.suppress(libvirt.libvirtError):  # The guest may be gone by now.
                macs = mac_addresses(domain.XMLDesc(0))
                found[domain.UUIDString()] = tuple(by_mac[mac] for mac in macs if mac in by_mac)
        return found

    def fetch_addresses(self, name: str) -> tuple[str, ...]:
        """All that is known of a guest's addresses, from whoever knows them."""
        with self._call("interfaceAddresses"):
            return self._of(name, lambda domain: first_known(lambda source: interfaces(domain, source))) or ()

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

    def _fault(self, error: libvirt.libvirtError) -> LibvirtFault | ConnectionLost:
        told = f"libvirt: {error.get_error_message()}"
        code = error.get_error_code()
        if self._connection is None:
            is_lost = code in (libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_SYSTEM_ERROR)
            return (ConnectionLost if is_lost else LibvirtFault)(told, place=self.node)
        # A system error may also be the node's own: a disk that is full, a file that is not there.
        if code == libvirt.VIR_ERR_RPC or not self._is_alive():
            return ConnectionLost("the connection to libvirtd was lost", place=self.node)
        return LibvirtFault(told, place=self.node)

    @contextlib.contextmanager
    def _streaming(self) -> Iterator[None]:
        """Translate a stream's error."""
        try:
            yield
        except libvirt.libvirtError as error:
            # A stream that ends with an error has the code of a connection that does.
            if self._is_alive():
                raise LibvirtFault(f"libvirt: {error.get_error_message()}", place=self.node) from error
            raise self._fault(error) from error

    def _is_alive(self) -> bool:
        try:
            return bool(self._connection.isAlive())
        except libvirt.libvirtError:
            return False
