from types import SimpleNamespace
from typing import Any

import pytest

from mclu_shell.cloud.boot.acceleration import Acceleration, acceleration_of_xml, choose_acceleration
from mclu_shell.cloud.boot.kvm_probe import KVMResult, KVMStatus
from mclu_shell.cloud.hypervisor.capabilities import Capabilities
from mclu_shell.errors import LibvirtDown, LibvirtFault, Refused

NOTHING: Any = frozenset()


class FakeNode:
    """A node whose libvirt offers KVM, another hypervisor, or raises a fault when asked for KVM."""

    name = "ham0"

    def __init__(self, offer: str | LibvirtFault = "kvm", accel: str = "auto") -> None:
        self.offer = offer
        self.config = SimpleNamespace(accel=accel)

    def query(self, fn: Any, _timeout_s: float) -> Any:
        return fn(self)

    def fetch_capabilities(self, *, kvm: bool) -> Capabilities:
        if kvm and isinstance(self.offer, LibvirtFault):
            raise self.offer
        offer = self.offer if isinstance(self.offer, str) and self.offer != "kvm" else ("kvm" if kvm else "qemu")
        return Capabilities(offer, "/usr/bin/qemu", "x86_64", {}, NOTHING, NOTHING, NOTHING)


def choose(node: Any, status: KVMStatus | None = None, reason: str = "") -> tuple[str, Acceleration]:
    """Return libvirt's domain type and the acceleration; without a status, KVM must not be tested."""

    def probe(_node: object, emulator: str, arch: str) -> KVMResult:
        assert (emulator, arch) == ("/usr/bin/qemu", "x86_64")
        assert status is not None
        return KVMResult(status, reason)

    capabilities, acceleration = choose_acceleration(node, probe)
    return capabilities.virt_type, acceleration


@pytest.mark.parametrize(
    ("status", "virt_type", "acceleration", "warning"),
    [
        (KVMStatus.WORKS, "kvm", Acceleration("kvm"), ""),
        (KVMStatus.UNTESTED, "kvm", Acceleration("kvm", "why"), "with KVM, not tested: why"),
        (KVMStatus.TOO_SLOW, "qemu", Acceleration("tcg", "it is too slow: why"), "without KVM: it is too slow: why"),
        (KVMStatus.FAILS, "qemu", Acceleration("tcg", "it does not work: why"), "without KVM: it does not work: why"),
    ],
)
def test_auto_uses_kvm_unless_the_test_fails(
    status: KVMStatus, virt_type: str, acceleration: Acceleration, warning: str
) -> None:
    assert choose(FakeNode(), status, "why") == (virt_type, acceleration)
    assert acceleration.warning == warning


def test_a_choice_in_mclu_conf_is_neither_tested_nor_a_warning() -> None:
    assert choose(FakeNode(accel="kvm")) == ("kvm", Acceleration("kvm", is_chosen=True))
    virt_type, acceleration = choose(FakeNode(accel="tcg"))
    assert (virt_type, acceleration.kind, acceleration.is_chosen) == ("qemu", "tcg", True)
    assert (acceleration.warning, acceleration.description) == ("", "without KVM: accel=tcg in mclu.conf")


def test_without_kvm_in_libvirt_auto_uses_tcg_and_kvm_is_refused() -> None:
    fault = LibvirtFault("libvirt: invalid argument: KVM is not supported", place="ham0")
    reason = "libvirt does not offer it: KVM is not supported"
    assert choose(FakeNode(fault)) == ("qemu", Acceleration("tcg", reason))
    with pytest.raises(Refused) as caught:
        choose(FakeNode(fault, "kvm"))
    assert (caught.value.place, caught.value.fact) == ("ham0", "libvirt offers no KVM: KVM is not supported")
    assert "accel=kvm" in caught.value.remedy


def test_a_libvirtd_that_does_not_answer_is_no_lack_of_kvm() -> None:
    with pytest.raises(LibvirtDown):
        choose(FakeNode(LibvirtDown("libvirtd not answering", place="ham0")))


def test_another_hypervisor_has_no_acceleration() -> None:
    for accel in ("auto", "kvm", "tcg"):
        virt_type, acceleration = choose(FakeNode("test", accel))
        assert (virt_type, acceleration.kind, acceleration.description) == ("test", "", "")


@pytest.mark.parametrize(
    ("virt_type", "kind", "description"),
    [
        ("kvm", "kvm", "with KVM"),
        ("qemu", "tcg", "without KVM: type='qemu' in the template's xml"),
        ("xen", "", ""),
    ],
)
def test_the_xml_of_a_template_sets_the_acceleration(virt_type: str, kind: str, description: str) -> None:
    acceleration = acceleration_of_xml(f"<domain type='{virt_type}'/>")
    assert (acceleration.kind, acceleration.description, acceleration.warning) == (kind, description, "")
