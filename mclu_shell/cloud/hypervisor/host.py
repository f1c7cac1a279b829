"""Queries about a node itself, on a libvirt connection handle: memory, capabilities, networks. Errors are libvirt's."""

import contextlib
from typing import TYPE_CHECKING, Any

import libvirt

from mclu_shell.cloud.state.guest import NodeInfo

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.capabilities import Capabilities, Host


def fetch_hardware(connection: Any) -> tuple[int, int]:
    """Return the node's memory in bytes and its number of CPUs."""
    _, memory_mib, pcpus, *_ = connection.getInfo()
    return memory_mib << 20, pcpus


def fetch_info(connection: Any, hardware: tuple[int, int]) -> NodeInfo:
    """Return the node's resources; `hardware` is the result of `fetch_hardware`."""
    total_bytes, pcpus = hardware
    try:
        # In KiB. The total of getInfo can be that of a control group instead of the machine.
        stats = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
        return NodeInfo(pcpus, total_bytes, total_bytes)
    available_kib = sum(stats.get(key, 0) for key in ("free", "buffers", "cached"))
    return NodeInfo(pcpus, stats.get("total", total_bytes >> 10) << 10, available_kib << 10)


def fetch_capabilities(connection: Any, *, kvm: bool) -> "Capabilities":
    """Return the node's domain capabilities for guests with or without KVM."""
    # XML takes 10 ms to import.
    from mclu_shell.cloud.hypervisor.capabilities import Capabilities, parse_capabilities

    if connection.getType() == "TEST":
        return Capabilities("test", "", "i686", {}, frozenset(), frozenset(), frozenset())
    virt_type = "kvm" if kvm else "qemu"
    xmls = [connection.getDomainCapabilities(None, None, None, virt_type, 0)]
    arch = xmls[0].partition("<arch>")[2].partition("</arch>")[0]
    if arch == "x86_64":
        for machine in ("q35", "pc"):
            with contextlib.suppress(libvirt.libvirtError):  # The emulator may lack this machine type.
                xmls.append(connection.getDomainCapabilities(None, arch, machine, virt_type, 0))
    return parse_capabilities(xmls)


def fetch_networks(connection: Any) -> frozenset[str]:
    """Return the names of libvirt's active networks."""
    return frozenset(network.name() for network in _active_networks(connection))


def _active_networks(connection: Any) -> list[Any]:
    return list(connection.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE))


def fetch_host(connection: Any) -> "Host":
    """Return the node's identity, QEMU's user, and libvirt's networks."""
    from mclu_shell.cloud.hypervisor.capabilities import Host, parse_host

    uuid, owner = parse_host(connection.getCapabilities())
    networks: dict[str, tuple[bool, bool]] | None = None
    # Without a network driver, libvirt does not support the call.
    with contextlib.suppress(libvirt.libvirtError):
        networks = {net.name(): _network_state(net) for net in connection.listAllNetworks()}
    return Host(uuid, connection.getLibVersion(), owner, networks)


def _network_state(network: Any) -> tuple[bool, bool]:
    """Return whether a network is active, and whether it will be after a reboot."""
    # A transient network has no setting.
    return bool(network.isActive()), bool(network.isPersistent() and network.autostart())
