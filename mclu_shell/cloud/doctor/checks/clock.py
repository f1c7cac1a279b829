"""The check of the clock."""

from mclu_shell.cloud.doctor.finding import Finding, fault, fault_for_root, ok, unchecked
from mclu_shell.cloud.doctor.subject import Subject

# Certificates, kerberos and make suffer; above the second limit, so do downloads.
_TOLERATED_S, _WRONG_S = 2.0, 60.0


def check_clock(subject: Subject) -> Finding:
    """Compare the node's clock with that of this machine."""
    ahead_s = subject.own.ahead_s
    if subject.facts is None or ahead_s is None:
        return unchecked("the node's clock is unknown")
    if abs(ahead_s) <= _TOLERATED_S:
        return ok("the clock is right")
    fact = f"the clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} that of this machine"
    is_warning = abs(ahead_s) < _WRONG_S
    if _is_own_fault(subject, ahead_s):
        return fault(f"{fact}, as on all nodes", "set the clock of this machine", is_warning=is_warning)
    if not subject.facts.has_systemd:
        return fault(fact, "set its clock, and run an NTP client there", is_warning=is_warning)
    return fault_for_root(fact, "timedatectl set-ntp true", is_warning=is_warning)


def _is_own_fault(subject: Subject, ahead_s: float) -> bool:
    """Return whether all nodes agree about the time, so that this machine's clock is wrong."""
    others = [other.ahead_s for other in subject.others if other.ahead_s is not None]
    return bool(others) and all(abs(other - ahead_s) <= _TOLERATED_S for other in others)
