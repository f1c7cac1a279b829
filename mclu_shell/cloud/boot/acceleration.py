"""The acceleration of a new guest's CPUs, KVM or QEMU's own TCG, and its reason."""

from collections.abc import Callable
from typing import NamedTuple

from mclu_shell.cloud.boot.kvm_probe import KVMResult, KVMStatus
from mclu_shell.cloud.hypervisor.capabilities import Capabilities
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import LibvirtDown, LibvirtFault, Refused
from mclu_shell.parsing.xml import parse_xml

# Tests KVM on a node, with the emulator and the architecture that libvirt names.
KVMProbe = Callable[[Node, str, str], KVMResult]

# libvirt runs an emulator to answer the first query about it.
_CAPABILITIES_TIMEOUT_S = 10.0


class Acceleration(NamedTuple):
    """The acceleration of a guest's CPUs: `kvm`, `tcg`, or empty for another hypervisor.

    `reason` explains why the guest runs without KVM, or why KVM could not be tested. `is_chosen` is true if mclu.conf
    or the template's own XML sets the acceleration.
    """

    kind: str
    reason: str = ""
    is_chosen: bool = False

    @property
    def description(self) -> str:
        """The acceleration and its reason in words; empty for another hypervisor."""
        if self.kind == "tcg":
            return f"without KVM: {self.reason}"
        if self.kind == "kvm":
            return f"with KVM, not tested: {self.reason}" if self.reason else "with KVM"
        return ""

    @property
    def warning(self) -> str:
        """The description if the user has not chosen this acceleration, and KVM is not used or not tested."""
        return self.description if self.reason and not self.is_chosen else ""


# From the type of a libvirt domain.
_KINDS = {"kvm": "kvm", "qemu": "tcg"}


def acceleration_of_xml(definition: str) -> Acceleration:
    """Return the acceleration of a template's own XML."""
    virt_type = parse_xml(definition).get("type", "")
    kind = _KINDS.get(virt_type, "")
    return Acceleration(kind, f"type={virt_type!r} in the template's xml" if kind == "tcg" else "", is_chosen=True)


def choose_acceleration(node: Node, probe_kvm: KVMProbe) -> tuple[Capabilities, Acceleration]:
    """Return the node's capabilities with KVM if it is usable, else without; raise Refused if accel=kvm cannot be."""
    mode = node.config.accel
    if mode == "tcg":
        return _without_kvm(node, "accel=tcg in mclu.conf", is_chosen=True)
    try:
        capabilities = node.query(lambda client: client.fetch_capabilities(kvm=True), _CAPABILITIES_TIMEOUT_S)
    except LibvirtDown:
        raise
    except LibvirtFault as fault:
        return _kvm_not_offered(node, mode, fault)
    if capabilities.virt_type != "kvm":
        return capabilities, Acceleration(_KINDS.get(capabilities.virt_type, ""))
    if mode == "kvm":
        return capabilities, Acceleration("kvm", is_chosen=True)
    return _test_kvm(node, capabilities, probe_kvm)


def _kvm_not_offered(node: Node, mode: str, fault: LibvirtFault) -> tuple[Capabilities, Acceleration]:
    reason = fault.fact.removeprefix("libvirt: ").removeprefix("invalid argument: ")
    if mode == "kvm":
        remedy = "make /dev/kvm usable on the node, or remove accel=kvm from mclu.conf"
        raise Refused(f"libvirt offers no KVM: {reason}", place=node.name, remedy=remedy) from fault
    return _without_kvm(node, f"libvirt does not offer it: {reason}")


def _test_kvm(node: Node, capabilities: Capabilities, probe_kvm: KVMProbe) -> tuple[Capabilities, Acceleration]:
    result = probe_kvm(node, capabilities.emulator, capabilities.arch)
    match result.status:
        case KVMStatus.WORKS:
            return capabilities, Acceleration("kvm")
        case KVMStatus.UNTESTED:
            # A guest keeps its definition, so a passing fault must not leave it without KVM for good.
            return capabilities, Acceleration("kvm", result.reason)
        case KVMStatus.TOO_SLOW:
            return _without_kvm(node, f"it is too slow: {result.reason}")
        case KVMStatus.FAILS:
            return _without_kvm(node, f"it does not work: {result.reason}")


def _without_kvm(node: Node, reason: str, *, is_chosen: bool = False) -> tuple[Capabilities, Acceleration]:
    capabilities = node.query(lambda client: client.fetch_capabilities(kvm=False), _CAPABILITIES_TIMEOUT_S)
    kind = _KINDS.get(capabilities.virt_type, "")
    return capabilities, Acceleration(kind, reason if kind else "", is_chosen)
