"""Operations on a guest and queries about it, on libvirt's handle of the domain. Errors are libvirt's."""

import contextlib
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import libvirt

from mclu_shell.cloud.hypervisor.domain_state import condition
from mclu_shell.cloud.state.guest import Guest

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition

# virDomainInterfaceAddressesSource, the most reliable first: DHCP leases of libvirt's networks, the guest agent, the
# ARP table of the node.
AGENT = 1
_SOURCES = (0, AGENT, 2)
# Loopback and link-local addresses, which a guest agent reports, too.
_LOCAL_PREFIXES = ("127.", "169.254.", "::1", "fe80:")
_AGENT_TIMEOUT_S = 1


def _undefine(domain: Any) -> None:
    """Undefine a guest with everything that libvirt keeps for it; the test: driver does not support the flags."""
    try:
        domain.undefineFlags(
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        )
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT):
            raise
        domain.undefine()


def _stop(domain: Any) -> None:
    """Stop a guest at once; do nothing if it is not running."""
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


# By the verbs of `LibvirtClient.change`.
VERBS: MappingProxyType[str, Callable[[Any], object]] = MappingProxyType(
    {
        "start": lambda domain: domain.create(),
        "resume": lambda domain: domain.resume(),
        "shutdown": lambda domain: domain.shutdown(),
        "reboot": lambda domain: domain.reboot(0),
        "reset": lambda domain: domain.reset(0),
        "wake": lambda domain: domain.pMWakeup(0),
        "stop": _stop,
        "undefine": _undefine,
    }
)


def guest_record(node: str, domain: Any, stats: dict[str, Any]) -> Guest:
    """Return the record of a guest from its statistics (virConnectGetAllDomainStats)."""
    if "balloon.maximum" in stats and "vcpu.current" in stats:
        memory_kib, vcpus = stats["balloon.maximum"], stats["vcpu.current"]
    else:
        # The test: driver reports neither. It runs in this process, so this call is no round trip.
        _, memory_kib, _, vcpus, _ = domain.info()
    state, reason = condition(stats["state.state"], stats["state.reason"])
    return Guest(node, domain.name(), domain.UUIDString(), state, memory_kib << 10, vcpus, reason=reason)


def require_disks(domain: Any) -> None:
    """Raise libvirt's error for a missing disk file; the test: driver has no disks."""
    from mclu_shell.cloud.hypervisor.domain_files import required_disks

    for disk in required_disks(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)):
        try:
            domain.blockInfo(disk)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise


def fetch_definition(connection: Any, domain: Any) -> "DomainDefinition":
    """Return all XML that libvirt has of a guest, and the files of its volumes."""
    from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition, volumes

    xmls = [domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)]
    if domain.isActive():
        xmls.append(domain.XMLDesc(0))
    if connection.getType() != "TEST" and domain.hasManagedSaveImage(0):
        xmls.append(domain.managedSaveGetXMLDesc(0))
    snapshots = [snapshot.getXMLDesc(0) for snapshot in domain.listAllSnapshots(0)]
    names = sorted({volume for xml in (*xmls, *snapshots) for volume in volumes(xml)})
    paths = (_volume_path(connection, *name) for name in names)
    return DomainDefinition(domain.name(), tuple(xmls), tuple(snapshots), tuple(filter(None, paths)))


def _volume_path(connection: Any, pool: str, volume: str) -> str:
    """Return the file of a volume, also if its pool is inactive; empty if there is no such pool."""
    from mclu_shell.cloud.hypervisor.domain_files import path_in_pool

    try:
        return path_in_pool(connection.storagePoolLookupByName(pool).XMLDesc(0), volume)
    except libvirt.libvirtError as error:
        if error.get_error_code() in (libvirt.VIR_ERR_NO_STORAGE_POOL, libvirt.VIR_ERR_NO_SUPPORT):
            return ""
        raise


def fetch_interfaces(domain: Any, source: int) -> dict[str, Any]:
    """Return the interfaces of a guest that a source knows; none without a network or a guest agent."""
    with contextlib.suppress(libvirt.libvirtError):
        if source == AGENT:
            # By default libvirt waits for an agent that hangs without a limit.
            domain.agentSetResponseTimeout(_AGENT_TIMEOUT_S)
        return dict(domain.interfaceAddresses(source))
    return {}


def first_addresses(fetch: Callable[[int], dict[str, Any]]) -> tuple[str, ...]:
    """Return the addresses of the first source that has any; `fetch` returns the interfaces of a source."""
    for source in _SOURCES:
        addresses = [address["addr"] for interface in fetch(source).values() for address in interface["addrs"] or ()]
        if reachable := tuple(address for address in addresses if not address.startswith(_LOCAL_PREFIXES)):
            return reachable
    return ()
