"""The check of the network of new guests."""

import shlex

from mclu_shell.cloud.doctor.finding import Finding, and_then, fault, fault_for_root, ok, repairable, unchecked
from mclu_shell.cloud.doctor.subject import Subject

_DEFAULT_XML = "/usr/share/libvirt/networks/default.xml"
_FALLBACK = "guests get QEMU's user network, without an address on the node"


def check_network(subject: Subject) -> Finding:
    """Check that the network is defined, is active, and starts with the node."""
    name = subject.node.network
    if name.startswith("bridge:"):
        return _check_bridge(subject, name.removeprefix("bridge:"))
    host = subject.own.host
    if host is None:
        return unchecked("libvirt does not answer")
    if host.networks is None or name not in host.networks:
        return _undefined(name, has_driver=host.networks is not None)
    is_active, starts = host.networks[name]
    virsh = ["virsh", "-c", subject.node.uri]
    start, autostart = [*virsh, "net-start", name], [*virsh, "net-autostart", name]
    if not is_active:
        commands = (start,) if starts else (start, autostart)
        return repairable(f"network {name!r} is not active", and_then(*commands))
    if not starts:
        fact = f"network {name!r} does not start with the node"
        return repairable(fact, shlex.join(autostart), is_warning=True)
    return ok(f"network {name!r} is active, and starts with the node")


def _undefined(name: str, *, has_driver: bool) -> Finding:
    if name != "default":
        return fault(f"libvirt has no network {name!r}", "set network= in mclu.conf")
    if not has_driver:
        return fault(f"libvirt has no networks: {_FALLBACK}", "install libvirt's network driver", is_warning=True)
    command = and_then(
        ["virsh", "net-define", _DEFAULT_XML], ["virsh", "net-autostart", name], ["virsh", "net-start", name]
    )
    return fault_for_root(f"libvirt has no network {name!r}: {_FALLBACK}", command, is_warning=True)


def _check_bridge(subject: Subject, bridge: str) -> Finding:
    if subject.facts is None:
        return unchecked("the node cannot be examined")
    nics = {nic.name: nic.kind for nic in subject.facts.nics}
    if nics.get(bridge) == "bridge":
        return ok(f"bridge {bridge!r} exists")
    fact = f"{bridge!r} is no bridge" if bridge in nics else f"there is no bridge {bridge!r}"
    return fault(fact, "set network= in mclu.conf")
