"""Acceleration: how a new guest's CPUs run, by KVM or by QEMU's own TCG, and why."""

from collections.abc import Callable
from typing import NamedTuple

from mclu_shell.cloud.boot.kvm_probe import KVMResult, KVMStatus
from mclu_shell.cloud.hypervisor.capabilities import Capabilities
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import LibvirtDown, LibvirtFault, Refused

# Tests KVM on a node, with the emulator and the architecture that libvirt names.
KVMProbe = Callable[[Node, str, str], KVMResult]

# The first question about an emulator may have libvirt run it.
_CAPABILITIES_TIMEOUT_S = 10.0


class Acceleration(NamedTuple):
    """How a guest's CPUs run: `kvm`, `tcg`, or empty for another hypervisor.

    `reason` is why it runs without KVM, or why KVM could not be tested. `is_chosen` if the user, or the template's own
    XML, has asked for it.
    """

    kind: str
    reason: str = ""
    is_chosen: bool = False

    @property
    def description(self) -> str:
        """The same in words; empty for another hypervisor."""
        if self.kind == "tcg":
            return f"without KVM: {self.reason}"
        if self.kind == "kvm":
            return f"with KVM, not tested: {self.reason}" if self.reason else "with KVM"
        return ""

    @property
    def warning(self) -> str:
        """The description, where it is news to the user."""
        return self.description if self.reason and not self.is_chosen else ""


# By the type of a libvirt domain.
_KINDS = {"kvm": "kvm", "qemu": "tcg"}


def acceleration_of_xml(virt_type: str) -> Acceleration:
    """Return the acceleration that a template's own XML has, by the type of its domain."""
    kind = _KINDS.get(virt_type, "")
    return Acceleration(kind, f"type={virt_type!r} in the template's xml" if kind == "tcg" else "", is_chosen=True)


def accelerate(node: Node, probe_kvm: KVMProbe) -> tuple[Capabilities, Acceleration]:
    """Return the node's capabilities with KVM if it can be used, else without; Refused if accel=kvm is not possible."""
    wanted = node.config.accel
    if wanted == "tcg":
        return _without(node, "accel=tcg in mclu.conf", is_chosen=True)
    try:
        offered = node.query(lambda client: client.fetch_capabilities(kvm=True), _CAPABILITIES_TIMEOUT_S)
    except LibvirtDown:
        raise
    except LibvirtFault as fault:
        reason = fault.fact.removeprefix("libvirt: ").removeprefix("invalid argument: ")
        if wanted == "kvm":
            remedy = "make /dev/kvm usable there, or remove accel=kvm from mclu.conf"
            raise Refused(f"libvirt offers no KVM: {reason}", place=node.name, remedy=remedy) from fault
        return _without(node, f"libvirt does not offer it: {reason}")
    if offered.virt_type != "kvm":
        return offered, Acceleration(_KINDS.get(offered.virt_type, ""))
    if wanted == "kvm":
        return offered, Acceleration("kvm", is_chosen=True)
    result = probe_kvm(node, offered.emulator, offered.arch)
    if result.status == KVMStatus.WORKS:
        return offered, Acceleration("kvm")
    if result.status == KVMStatus.UNTESTED:
        # A guest keeps its definition: what may only be so now must not leave it without KVM for good.
        return offered, Acceleration("kvm", result.reason)
    fact = "it is too slow" if result.status == KVMStatus.TOO_SLOW else "it does not work"
    return _without(node, f"{fact}: {result.reason}")


def _without(node: Node, reason: str, *, is_chosen: bool = False) -> tuple[Capabilities, Acceleration]:
    found = node.query(lambda client: client.fetch_capabilities(kvm=False), _CAPABILITIES_TIMEOUT_S)
    kind = _KINDS.get(found.virt_type, "")
    return found, Acceleration(kind, reason if kind else "", is_chosen)
