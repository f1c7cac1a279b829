"""The check of KVM."""

from mclu_shell.cloud.boot.kvm_probe import KVMStatus
from mclu_shell.cloud.doctor.finding import Finding, fault, ok, repairable, unchecked
from mclu_shell.cloud.doctor.subject import Subject

_MODULES = {"vmx": "kvm_intel", "svm": "kvm_amd"}
_WITHOUT = "guests run without KVM"


def check_kvm(subject: Subject) -> Finding:
    """Check that guests get KVM: libvirt offers it, and it works in reasonable time."""
    if subject.node.accel == "tcg":
        return unchecked("accel=tcg in mclu.conf")
    result = subject.own.kvm
    if result is None:
        return unchecked("libvirt does not answer" if subject.own.fault else "another hypervisor")
    if isinstance(result, str):
        return _not_offered(subject, result)
    match result.status:
        case KVMStatus.WORKS:
            return ok(f"KVM works: {result.reason}")
        case KVMStatus.UNTESTED:
            return fault(f"KVM could not be tested: {result.reason}", "run 'doctor' again later", is_warning=True)
        case KVMStatus.TOO_SLOW:
            return fault(f"KVM is too slow, so {_WITHOUT}: {result.reason}", _accept(subject))
        case KVMStatus.FAILS:
            return fault(f"KVM does not work, so {_WITHOUT}: {result.reason}", _accept(subject))


def _accept(subject: Subject) -> str:
    return f"if the node is a virtual machine, set accel=tcg for {subject.node.name} in mclu.conf; else update its BIOS"


def _not_offered(subject: Subject, reason: str) -> Finding:
    facts = subject.facts
    fact = f"libvirt offers no KVM, so {_WITHOUT}: {reason}"
    if facts is None or facts.has_kvm_device:
        return fault(fact, f"make /dev/kvm usable for QEMU, or set accel=tcg for {subject.node.name} in mclu.conf")
    if facts.cpu in _MODULES:
        return repairable(f"there is no /dev/kvm, so {_WITHOUT}", f"modprobe {_MODULES[facts.cpu]}")
    remedy = f"enable virtualization (VT-x, AMD-V) in its BIOS, or set accel=tcg for {subject.node.name} in mclu.conf"
    return fault(f"its processor offers no KVM, so {_WITHOUT}", remedy)
