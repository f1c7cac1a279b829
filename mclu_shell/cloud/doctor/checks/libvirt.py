"""Checks of libvirt: its daemon, the permission to use it, and its start at boot."""

import shlex

from mclu_shell.cloud.doctor.distribution import install_libvirt
from mclu_shell.cloud.doctor.facts import Facts
from mclu_shell.cloud.doctor.finding import Finding, fault, fault_for_root, ok, repairable, unchecked
from mclu_shell.cloud.doctor.subject import Subject
from mclu_shell.errors import LibvirtDown, SSHFault

DAEMONS = ("libvirtd", "virtqemud")
# States of systemctl(1) in which a unit starts at boot.
_STARTS = ("enabled", "alias", "linked", "generated")
# polkit refuses what the socket's mode allows (Fedora's default).
_REFUSED = ("no permission", "polkit", "authentication")


def check_libvirt(subject: Subject) -> Finding:
    """Check that libvirt's daemon answers, and that the login may use it."""
    error, facts = subject.own.fault, subject.facts
    if error is None:
        return ok(f"libvirt {_version(subject)} answers")
    if isinstance(error, SSHFault):
        # The checks of the connection report it.
        return unchecked(error.fact)
    if facts is not None and any(word in error.fact for word in _REFUSED):
        # Groups count from the next login.
        return fault_for_root(error.fact, shlex.join(["usermod", "-aG", "libvirt", facts.user]))
    if facts is None or not (isinstance(error, LibvirtDown) and error.is_stopped):
        return fault(error.fact, error.remedy or "see its log on the node: journalctl -u libvirtd -u virtqemud")
    if not facts.programs.intersection(DAEMONS):
        return fault_for_root("libvirt is not installed", install_libvirt(subject.distribution))
    if not facts.has_systemd:
        return fault(error.fact, f"on the node: start {_daemon(facts)}")
    return repairable(error.fact, f"systemctl start {_unit(facts)}")


def check_boot(subject: Subject) -> Finding:
    """Check that libvirt's daemon, or its socket, starts with the node."""
    facts = subject.facts
    if facts is None:
        return unchecked("the node cannot be examined")
    if not facts.has_systemd:
        return unchecked("the node has no systemd")
    if not facts.units:
        return unchecked("systemd knows no unit of libvirt")
    if starting := [unit for unit, state in facts.units.items() if state in _STARTS]:
        return ok(f"{starting[0]} starts at boot")
    return repairable(f"{_daemon(facts)} does not start at boot", f"systemctl enable {_unit(facts)}")


def _daemon(facts: Facts) -> str:
    return next((daemon for daemon in DAEMONS if daemon in facts.programs), DAEMONS[0])


def _unit(facts: Facts) -> str:
    """Return the unit that starts the daemon: its socket where there is one, as distributions do by now."""
    names = [f"{daemon}.{kind}" for kind in ("socket", "service") for daemon in DAEMONS]
    own = [name for name in names if name in facts.units and name.partition(".")[0] == _daemon(facts)]
    return (own or [f"{_daemon(facts)}.service"])[0]


def _version(subject: Subject) -> str:
    version = subject.own.host.version if subject.own.host else 0
    return f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"
