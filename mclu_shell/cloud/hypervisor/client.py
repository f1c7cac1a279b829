"""One libvirt connection: it returns records, and translates libvirt's errors. Only this package imports libvirt."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import libvirt

from mclu_shell.cloud.hypervisor import host
from mclu_shell.cloud.hypervisor.domain import (
    VERBS,
    guest_record,
    promised_bytes,
    require_disks,
    undefine,
)
from mclu_shell.cloud.hypervisor.domain_state import STATES, fetch_condition, fetch_disk_errors, fetch_saved
from mclu_shell.cloud.hypervisor.events import Subscription
from mclu_shell.cloud.hypervisor.stream import ConsoleStream
from mclu_shell.cloud.state.guest import SAVED, Condition, Guest, GuestEvent, NodeInfo, NodeReport
from mclu_shell.errors import ConnectionLost, LibvirtFault, NotFound, Refused
from mclu_shell.user_paths import find_home

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.addresses import Address, Findings
    from mclu_shell.cloud.hypervisor.capabilities import Capabilities, Host
    from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition

T = TypeVar("T")

_log = logging.getLogger(__name__)

# GLib, which libvirt uses, prints warnings about a user without $HOME and passwd entry.
os.environ.setdefault("HOME", str(find_home()))

# By default libvirt prints each error on stderr, in addition to raising it.
libvirt.registerErrorHandler(lambda _context, _error: None, None)

_STATS = libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_VCPU
# NOWAIT skips statistics that would wait for a job on a guest, or for one that hangs. libvirt has these three anyway.
_NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
_STATS_FLAGS = MappingProxyType(
    {
        None: _NOWAIT,
        True: _NOWAIT | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE,
        False: _NOWAIT | libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE,
    }
)


class LibvirtClient:
    """An open connection to a node's libvirt. Every method is a remote call, and fails when the socket is cut."""

    def __init__(self, node: str, uri: str) -> None:
        self.node = node
        self._connection: Any = None
        self._subscription: Subscription | None = None
        self.is_subscribed = False
        self._hardware: tuple[int, int] | None = None
        with self._call(f"open {uri}"):
            self._connection = libvirt.open(uri)

    def close(self) -> None:
        """Close the connection; without cutting its socket first, this waits for libvirtd's reply."""
        if self._subscription is not None:
            self._subscription.close()
        with contextlib.suppress(libvirt.libvirtError):
            self._connection.close()

    def subscribe(self, on_event: Callable[[GuestEvent], None], on_close: Callable[[], None]) -> None:
        """Call `on_event` for guests' events, and `on_close` when the connection ends, in libvirt's event thread."""
        self._subscription = self._subscription or Subscription(self._connection)
        with self._call("domainEventRegisterAny"):
            self._subscription.open(on_event, on_close)
        self.is_subscribed = True

    # The node.

    def ping(self) -> None:
        """Make a small call, to check that libvirtd answers."""
        with self._call("NumOfDomains"):
            self._connection.numOfDomains()

    def fetch_report(self) -> NodeReport:
        """Return the node's resources and all its guests, in four calls for any number of guests."""
        info, records = self._fetch_info(), self._fetch_records(None)
        promised = sum(promised_bytes(stats) for _, _, stats in records)
        return NodeReport(info._replace(promised_bytes=promised), tuple([guest for guest, _, _ in records]))

    def _fetch_info(self) -> NodeInfo:
        if self._hardware is None:
            # It does not change while the node is up, and the connection does not outlive that.
            with self._call("getInfo"):
                self._hardware = host.fetch_hardware(self._connection)
        with self._call("getMemoryStats"):
            return host.fetch_info(self._connection, self._hardware)

    def fetch_capabilities(self, *, kvm: bool) -> "Capabilities":
        """Return the node's capabilities for guests with or without KVM; raise LibvirtFault if it supports none."""
        with self._call("getDomainCapabilities"):
            return host.fetch_capabilities(self._connection, kvm=kvm)

    def fetch_host(self) -> "Host":
        """Return the node's identity, QEMU's user, and libvirt's networks."""
        with self._call("host"):
            return host.fetch_host(self._connection)

    def fetch_networks(self) -> frozenset[str]:
        """Return the names of libvirt's active networks; none if libvirt has no network driver."""
        try:
            with self._call("listAllNetworks"):
                return host.fetch_networks(self._connection)
        except LibvirtFault:
            return frozenset()

    # All guests.

    def fetch_guests(self, *, active: bool | None = None) -> tuple[Guest, ...]:
        """Return the running guests, the others, or (None) all of them, sorted by name."""
        return tuple([guest for guest, _, _ in self._fetch_records(active)])

    def _fetch_records(self, active: bool | None) -> list[tuple[Guest, Any, dict[str, Any]]]:
        """Return the guests with their domains and statistics, sorted by name."""
        with self._call("getAllDomainStats"):
            stats = self._connection.getAllDomainStats(_STATS, _STATS_FLAGS[active])
            records = [(guest_record(self.node, domain, values), domain, values) for domain, values in stats]
            saved = fetch_saved(self._connection) if any(not guest.is_active for guest, _, _ in records) else ()
        marked = [(g._replace(reason=SAVED) if g.uuid in saved else g, domain, values) for g, domain, values in records]
        return sorted(marked, key=lambda record: record[0].name)

    def fetch_addresses(self, name: str | None = None) -> "Findings":
        """Return the addresses of one running guest, or of all; some may be left from earlier runs."""
        from mclu_shell.cloud.hypervisor.addresses import fetch_addresses

        with self._call("addresses"):
            if name is None:
                domains = self._connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
            else:
                domain = self._query_domain(name, lambda domain: domain if domain.isActive() else None)
                domains = [domain] if domain is not None else []
            return fetch_addresses(self._connection, domains)

    def fetch_agent_addresses(self, agents: Mapping[str, Sequence[str]]) -> "dict[str, tuple[Address, ...]]":
        """Return the addresses that guest agents report, by UUID; an agent that hangs takes 5 s or more.

        `agents` has the MAC addresses of their guests, as in `Findings`.
        """
        from mclu_shell.cloud.hypervisor.addresses import fetch_agent_addresses

        with self._call("agents"):
            return fetch_agent_addresses(self._connection, agents)

    def fetch_templates(self, uuids: Collection[str]) -> dict[str, str]:
        """Return the templates of guests by UUID, in a call for each; empty for a guest that mclu did not create."""
        from mclu_shell.cloud.hypervisor.definitions import fetch_templates

        with self._call("metadata of guests"):
            return fetch_templates(self._connection, uuids)

    def fetch_definitions(self) -> dict[str, "DomainDefinition"]:
        """Return the definitions of all guests by UUID, in at least one call for each guest."""
        from mclu_shell.cloud.hypervisor.definitions import fetch_definitions

        with self._call("XMLDesc of all"):
            return fetch_definitions(self._connection)

    # One guest.

    def fetch_state(self, name: str) -> str | None:
        """Return a guest's state in virsh's words; None if there is no such guest."""
        with self._call("state"):
            return self._query_domain(name, lambda domain: STATES[domain.state()[0]])

    def fetch_condition(self, name: str) -> Condition | None:
        """Return a guest's state and the reason for it; None if there is no such guest."""
        with self._call("state"):
            return self._query_domain(name, fetch_condition)

    def fetch_disk_errors(self, name: str) -> tuple[str, ...]:
        """Return the failed disks of a running guest, each with its error, such as `vda: no space`."""
        with self._call("diskErrors"):
            return self._query_domain(name, fetch_disk_errors) or ()

    def has_guest(self, uuid: str) -> bool:
        """Return whether there is a guest of a UUID."""
        with self._call("lookupByUUID"):
            try:
                self._connection.lookupByUUIDString(uuid)
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
                return False
            return True

    def is_agent_hung(self, uuid: str) -> bool:
        """Return whether a guest's agent is connected, but does not answer; that takes 5 s or more."""
        from mclu_shell.cloud.hypervisor.guest_agent import is_hung

        with self._call("agent ping"):
            return is_hung(self._connection.lookupByUUIDString(uuid))

    def is_persistent(self, name: str) -> bool:
        """Return whether there is such a guest, and its definition survives its end."""
        with self._call("isPersistent"):
            return bool(self._query_domain(name, lambda domain: domain.isPersistent()))

    def require_disks(self, name: str) -> None:
        """Raise libvirt's error if a disk file is missing without which the guest would not start."""
        with self._naming(name), self._call("blockInfo"):
            self._query_domain(name, require_disks)

    def fetch_xml(self, name: str) -> str | None:
        """Return the XML of a guest; None if there is no such guest."""
        with self._call("XMLDesc"):
            return self._query_domain(name, lambda domain: str(domain.XMLDesc(0)))

    def fetch_live_xml(self, name: str) -> str | None:
        """Return the XML of a running guest, with the ports and devices assigned to it; None if it is not running."""
        with self._call("XMLDesc"):
            return self._query_domain(name, lambda domain: str(domain.XMLDesc(0)) if domain.isActive() else None)

    def set_metadata(self, name: str, xml: str, namespace: str) -> None:
        """Replace the element of a namespace in the metadata of a running guest; it is lost when the guest stops."""
        with self._call("setMetadata"):
            args = (libvirt.VIR_DOMAIN_METADATA_ELEMENT, xml, "mclu", namespace, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            self._query_domain(name, lambda domain: domain.setMetadata(*args))

    def open_console(self, name: str, *, force: bool) -> "ConsoleStream":
        """Open the first console of a guest; `force` disconnects another client from it."""
        with self._call("openConsole"):
            stream = self._connection.newStream(0)
            flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else 0
            try:
                self._connection.lookupByName(name).openConsole(None, stream, flags)
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_OPERATION_FAILED:
                    raise
                raise Refused(
                    f"the console of {name} is in use", place=self.node, remedy="use --force to take it over"
                ) from error
        return ConsoleStream(stream, self._stream_call)

    @property
    def can_validate_xml(self) -> bool:
        """True if libvirt can validate a guest's XML without defining the guest."""
        return bool(self._connection.getType() == "QEMU")

    def find_xml_fault(self, xml: str) -> str | None:
        """Return why a new guest could not be defined or started; None if it could be, or cannot be validated."""
        if not self.can_validate_xml:
            return None
        # Only a template with XML of its own needs it.
        from mclu_shell.cloud.hypervisor.validation import InvalidXML, require_valid

        with self._call("validate XML"):
            try:
                require_valid(self._connection, xml)
            except InvalidXML as error:
                return str(error)
        return None

    def define(self, xml: str) -> None:
        """Define a new guest; raise LibvirtFault if the name is in use."""
        with self._call("defineXML"):
            is_real = self._connection.getType() != "TEST"
            self._connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE if is_real else 0)

    def change(self, name: str, verb: str, uuid: str) -> None:
        """Do one of the verbs of `domain.VERBS` to a guest; `stop` is virsh's destroy.

        The UUID selects the guest: another one may have the name by now. Raise NotFound if there is none.
        """
        self._change(name, verb, uuid, VERBS[verb])

    def undefine(self, name: str, uuid: str, nvram: str, *, keep_tpm: bool) -> None:
        """Undefine a guest with all that libvirt keeps for it; keep an NVRAM file other than `nvram`.

        Raise NotFound if there is no such guest.
        """
        self._change(name, "undefine", uuid, partial(undefine, nvram=nvram, keep_tpm=keep_tpm))

    def _change(self, name: str, verb: str, uuid: str, change: Callable[[Any], object]) -> None:
        with self._naming(name), self._call(verb):
            try:
                change(self._connection.lookupByUUIDString(uuid))
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise
                raise NotFound(f"no such guest {name!r}", place=self.node) from error

    def _query_domain(self, name: str, query: Callable[[Any], T]) -> T | None:
        """Return the result of a query; None if the guest does not exist, or is gone before the query."""
        try:
            return query(self._connection.lookupByName(name))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    # Errors.

    @contextlib.contextmanager
    def _naming(self, guest: str) -> Iterator[None]:
        """Name the guest in libvirt's errors, which often do not."""
        try:
            yield
        except LibvirtFault as fault:
            error = fault.with_context(fact=f"{guest}: {fault.fact}")
            error.guest = guest
            raise error from fault

    @contextlib.contextmanager
    def _call(self, name: str) -> Iterator[None]:
        """Log the time of a remote call and translate its error."""
        started = time.perf_counter()
        try:
            yield
        except libvirt.libvirtError as error:
            raise self._fault(error) from error
        finally:
            _log.debug("%s: libvirt %s: %.1f ms", self.node, name, (time.perf_counter() - started) * 1000)

    @contextlib.contextmanager
    def _stream_call(self) -> Iterator[None]:
        """Translate a stream's error."""
        try:
            yield
        except libvirt.libvirtError as error:
            # libvirt has one error code for a failed stream and a failed connection.
            if self._is_alive():
                raise LibvirtFault(f"libvirt: {_one_line(error)}", place=self.node) from error
            raise self._fault(error) from error

    def _fault(self, error: libvirt.libvirtError) -> LibvirtFault | ConnectionLost:
        message = f"libvirt: {_one_line(error)}"
        code = error.get_error_code()
        if self._connection is None:
            is_lost = code in (libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_SYSTEM_ERROR)
            return (ConnectionLost if is_lost else LibvirtFault)(message, place=self.node)
        # A system error may also be the node's own, such as a full disk or a missing file.
        if code == libvirt.VIR_ERR_RPC or not self._is_alive():
            return ConnectionLost("the connection to libvirtd was lost", place=self.node)
        return LibvirtFault(message, place=self.node)

    def _is_alive(self) -> bool:
        try:
            return bool(self._connection.isAlive())
        except libvirt.libvirtError:
            return False


def _one_line(error: libvirt.libvirtError) -> str:
    """Return libvirt's message; that of QEMU may have several lines."""
    return " ".join((error.get_error_message() or "").split())
