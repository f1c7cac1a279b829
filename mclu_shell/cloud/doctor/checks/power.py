"""Checks of power: Wake-on-LAN now and after a reboot, and the permission to switch off."""

import shlex

from mclu_shell.cloud.doctor.distribution import Distribution, install_programs
from mclu_shell.cloud.doctor.facts import Facts, Nic
from mclu_shell.cloud.doctor.finding import Finding, fault, fault_for_root, ok, repairable, unchecked
from mclu_shell.cloud.doctor.subject import Subject

_DEFAULT_LINK = "99-default.link"


def check_wake(subject: Subject) -> Finding:
    """Check that the NIC with the node's MAC address wakes it now."""
    nic = _find_nic(subject)
    if isinstance(nic, Finding):
        return nic
    if nic.wol and "g" not in nic.wol:
        if nic.supports and "g" not in nic.supports:
            return fault(f"{nic.name} does not support magic packets", "use another NIC, or remove mac= from mclu.conf")
        command = shlex.join(["ethtool", "-s", nic.name, "wol", "g"])
        return repairable(f"Wake-on-LAN is not armed on {nic.name}", command)
    if nic.wakeup == "disabled":
        command = f"echo enabled >{shlex.quote(f'/sys/class/net/{nic.name}/device/power/wakeup')}"
        return repairable(f"{nic.name} is not allowed to wake the node", command)
    if nic.wakeup == "enabled":
        return ok(f"Wake-on-LAN is armed on {nic.name}")
    if nic.wol:
        return ok(f"Wake-on-LAN is armed on {nic.name}; its power settings are unknown")
    return _unknown_setting(subject, nic)


def _unknown_setting(subject: Subject, nic: Nic) -> Finding:
    """Return the finding for a NIC without a setting in sysfs, and without an answer of ethtool."""
    assert subject.facts is not None
    if "ethtool" in subject.facts.programs:
        return fault(f"{nic.name} has no Wake-on-LAN", "use another NIC, or remove mac= from mclu.conf")
    command = install_programs(subject.distribution, ["ethtool"])
    return fault_for_root(f"cannot read the Wake-on-LAN setting of {nic.name}", command, is_warning=True)


def check_wake_at_boot(subject: Subject) -> Finding:
    """Check that something arms Wake-on-LAN at each boot."""
    nic = _find_nic(subject)
    if isinstance(nic, Finding):
        return unchecked(nic.fact)
    if check_wake(subject).verdict == "not checked" or (nic.supports and "g" not in nic.supports):
        return unchecked("the NIC has no Wake-on-LAN")
    if nic.armed_by:
        return ok(f"{nic.armed_by} arms Wake-on-LAN at boot")
    assert subject.facts is not None
    fact = f"nothing was found that arms Wake-on-LAN on {nic.name} at boot"
    if not subject.facts.has_systemd:
        return fault(fact, f"run 'ethtool -s {nic.name} wol g' at each boot of the node", is_warning=True)
    return repairable(fact, _drop_in(nic), is_warning=True)


def _drop_in(nic: Nic) -> str:
    """Return the command that adds to the .link file of the NIC (systemd.link(5))."""
    directory = f"/etc/systemd/network/{nic.link.rpartition('/')[2] or _DEFAULT_LINK}.d"
    file = shlex.quote(f"{directory}/wake-on-lan.conf")
    return f"mkdir -p {shlex.quote(directory)} && printf '[Link]\\nWakeOnLan=magic\\n' >{file}"


def _find_nic(subject: Subject) -> Nic | Finding:
    """Return the NIC with the configured MAC address, preferably a physical one; or why there is none to check."""
    mac, facts = subject.node.mac, subject.facts
    if mac is None:
        return unchecked("no mac= in mclu.conf")
    if facts is None:
        return unchecked("the node cannot be examined")
    if subject.node.via == "local":
        return unchecked("this machine is not switched off by mclu")
    nics = sorted((nic for nic in facts.nics if nic.mac == mac), key=_rank)
    if not nics:
        return fault(f"no NIC has the MAC address {mac}", f"set mac= in mclu.conf: {_describe_nics(facts)}")
    if nics[0].kind != "physical":
        return unchecked(f"{nics[0].name} is a virtual NIC")
    return nics[0]


def _rank(nic: Nic) -> tuple[bool, bool]:
    # The NICs of a bond have the same address.
    return nic.kind != "physical", "g" not in nic.wol


def _describe_nics(facts: Facts) -> str:
    nics = [nic for nic in facts.nics if nic.name != "lo" and nic.mac != "-"]
    nics = [nic for nic in nics if nic.kind == "physical"] or nics
    return " or ".join(f"{nic.mac} ({nic.name})" for nic in nics[:4]) or "it has no NIC"


def check_power_off(subject: Subject) -> Finding:
    """Check that the login may switch the node off."""
    facts = subject.facts
    if subject.node.via == "local":
        return unchecked("this machine is not switched off by mclu")
    if facts is None:
        return unchecked("the node cannot be examined")
    if not facts.power_off_fault:
        return ok(f"{facts.user} may run poweroff")
    # Without mac=, the user does not switch it on with mclu.
    is_warning = subject.node.mac is None
    has_sudo = "sudo" in facts.programs
    reason = facts.power_off_fault if has_sudo or facts.uid == 0 else "there is no sudo"
    fact = f"{facts.user} cannot run poweroff: {reason}"
    if facts.uid == 0:
        return fault(fact, "install the program poweroff", is_warning=is_warning)
    rule = shlex.quote(f"{facts.user} ALL=(root) NOPASSWD: {_poweroff_path(subject)}")
    install = "" if has_sudo else f"{install_programs(subject.distribution, ['sudo'])} && "
    return fault_for_root(fact, f"{install}echo {rule} >/etc/sudoers.d/mclu", is_warning=is_warning)


def _poweroff_path(subject: Subject) -> str:
    return "/usr/bin/poweroff" if subject.distribution is Distribution.ARCH else "/usr/sbin/poweroff"
