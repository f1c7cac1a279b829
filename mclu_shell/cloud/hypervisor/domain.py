"""What can be done to a guest, and asked of it, by libvirt's own handle; errors are libvirt's."""

import contextlib
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import libvirt

# virDomainInterfaceAddressesSource, the surest first: leases of libvirt's networks, an agent in the guest, its node's
# ARP table.
AGENT = 1


_SOURCES = (0, AGENT, 2)


# Loopback and link-local addresses, which an agent tells, too.
_NOT_REACHED = ("127.", "169.254.", "::1", "fe80:")


def _undefine(domain: Any) -> None:
    """Undefine with all that libvirt keeps for a guest; the test: driver knows no such flags."""
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
    """Pull a guest's plug; one that is not running is as it should be."""
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


# By the words of `LibvirtClient.change`.
VERBS: MappingProxyType[str, Callable[[Any], object]] = MappingProxyType(
    {
        "start": lambda domain: domain.create(),
        "resume": lambda domain: domain.resume(),
        "shutdown": lambda domain: domain.shutdown(),
        "reboot": lambda domain: domain.reboot(0),
        "reset": lambda domain: domain.reset(0),
        "stop": _stop,
        "undefine": _undefine,
    }
)


def require_disks(domain: Any) -> None:
    """Have libvirt look at the files of a guest's disks; the test: driver has none."""
    # Only a dry run needs it.
    from mclu_shell.cloud.hypervisor.domain_files import needed_disks

    for disk in needed_disks(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)):
        try:
            domain.blockInfo(disk)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise


def interfaces(domain: Any, source: int) -> dict[str, Any]:
    """What a source of addresses knows of a guest; nothing if there is no such network, or no agent."""
    with contextlib.suppress(libvirt.libvirtError):
        if source == AGENT:
            # In seconds: one that hangs would be waited for without end.
            domain.agentSetResponseTimeout(1)
        return dict(domain.interfaceAddresses(source))
    return {}


def first_known(interfaces: Callable[[int], dict[str, Any]]) -> tuple[str, ...]:
    """The addresses of the first source that knows any; `interfaces` is what libvirt tells of each source."""
    for source in _SOURCES:
        found = [one["addr"] for interface in interfaces(source).values() for one in interface["addrs"] or ()]
        if reached := tuple(address for address in found if not address.startswith(_NOT_REACHED)):
            return reached
    return ()
