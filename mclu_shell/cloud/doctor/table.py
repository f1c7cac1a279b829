"""The table of checks, in the order in which a fault of one explains those that follow."""

from collections.abc import Callable
from typing import NamedTuple

from mclu_shell.cloud.doctor.checks import (
    clock,
    connection,
    identity,
    kvm,
    leftovers,
    libvirt,
    network,
    power,
    programs,
    storage,
)
from mclu_shell.cloud.doctor.finding import Finding, Verdict
from mclu_shell.cloud.doctor.subject import Subject


class Check(NamedTuple):
    """A check by its name. `needs_host` if a node without guests of its own, such as a simulated one, has none."""

    name: str
    judge: Callable[[Subject], Finding]
    needs_host: bool = True


CHECKS = (
    Check("login", connection.check_login, needs_host=False),
    Check("commands", connection.check_commands),
    Check("forwarding", connection.check_forwarding),
    Check("libvirt", libvirt.check_libvirt, needs_host=False),
    Check("start at boot", libvirt.check_boot),
    Check("kvm", kvm.check_kvm),
    Check("network", network.check_network),
    Check("images", storage.check_images),
    Check("reach of images", storage.check_reach),
    Check("free space", storage.check_space),
    Check("programs", programs.check_programs),
    Check("template programs", programs.check_template_programs),
    Check("clock", clock.check_clock),
    Check("wake-on-lan", power.check_wake),
    Check("wake-on-lan at boot", power.check_wake_at_boot),
    Check("poweroff", power.check_power_off),
    Check("host uuid", identity.check_host_uuid),
    Check("guest uuids", identity.check_guest_uuids),
    Check("unused disks", leftovers.check_unused_disks),
    Check("missing disks", leftovers.check_missing_disks),
    Check("interrupted boots", leftovers.check_interrupted),
)


def judge(subject: Subject) -> tuple[Finding, ...]:
    """Return the findings of all checks that the node can have."""
    checks = [check for check in CHECKS if subject.node.runs_guests or not check.needs_host]
    findings = tuple(check.judge(subject)._replace(check=check.name) for check in checks)
    if subject.facts is None and findings[0].verdict is Verdict.FAULT:
        return findings[:1]
    return findings
