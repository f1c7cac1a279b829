"""Operations on a guest and queries about it, on libvirt's handle of the domain. Errors are libvirt's."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import libvirt

from mclu_shell.cloud.hypervisor.domain_state import condition
from mclu_shell.cloud.state.guest import Guest


def undefine(domain: Any, nvram: str = "", *, keep_tpm: bool = False) -> None:
    """Undefine a guest with its saved memory, snapshots, checkpoints and TPM state, and with the NVRAM file `nvram`.

    Keep any other NVRAM file: the guest may have been defined with another one since its plan was made.
    """
    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    )
    if domain.connect().getType() == "TEST":
        # The test: driver supports none of the flags for files.
        domain.undefine()
        return
    from mclu_shell.cloud.hypervisor.domain_files import nvram_files

    is_expected = bool(nvram) and nvram in nvram_files(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    flags |= libvirt.VIR_DOMAIN_UNDEFINE_NVRAM if is_expected else libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
    domain.undefineFlags(flags | (libvirt.VIR_DOMAIN_UNDEFINE_KEEP_TPM if keep_tpm else 0))


def _stop(domain: Any) -> None:
    """Stop a guest at once; do nothing if it is not running, but fail if it is gone."""
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise
        # A transient guest that another client has stopped at the same time does not exist any more.
        domain.isPersistent()


# By the verbs of `LibvirtClient.change`.
VERBS: MappingProxyType[str, Callable[[Any], object]] = MappingProxyType(
    {
        "start": lambda domain: domain.create(),
        "resume": lambda domain: domain.resume(),
        "shutdown": lambda domain: domain.shutdown(),
        "reboot": lambda domain: domain.reboot(0),
        "shutdown by ACPI": lambda domain: domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN),
        "reboot by ACPI": lambda domain: domain.reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN),
        "reset": lambda domain: domain.reset(0),
        "wake": lambda domain: domain.pMWakeup(0),
        "stop": _stop,
        "undefine": undefine,
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


def promised_bytes(stats: dict[str, Any]) -> int:
    """Return the memory that a running guest may use beyond what its QEMU has touched; 0 if that is unknown."""
    if "balloon.rss" not in stats or "balloon.maximum" not in stats:
        return 0
    return max(0, int(stats["balloon.maximum"] - stats["balloon.rss"])) << 10


def require_disks(domain: Any) -> None:
    """Raise libvirt's error for a missing disk file; the test: driver has no disks."""
    from mclu_shell.cloud.hypervisor.domain_files import required_disks

    for disk in required_disks(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)):
        try:
            domain.blockInfo(disk)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise
