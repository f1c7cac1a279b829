"""Checks of the connection: the login, commands, and the forwarding of sockets and ports."""

from mclu_shell.cloud.doctor.finding import Finding, fault, ok, unchecked
from mclu_shell.cloud.doctor.subject import Subject
from mclu_shell.errors import LibvirtDown, LibvirtFault, MCluError, SSHFault

_FORWARDING = "set 'AllowStreamLocalForwarding yes' and 'AllowTcpForwarding yes' in its sshd_config, and reload sshd"


def check_login(subject: Subject) -> Finding:
    """Check that the node can be reached and accepts the login."""
    error = subject.own.fault
    if error is not None and not isinstance(error, LibvirtFault) and subject.facts is None:
        return fault(error.fact, error.remedy or f"try 'ssh {subject.node.name}'")
    return ok(f"logged in as {subject.facts.user}" if subject.facts else "logged in")


def check_commands(subject: Subject) -> Finding:
    """Check that commands run on the node."""
    error = subject.own.facts
    if isinstance(error, MCluError):
        return fault(error.fact, error.remedy or "check the login shell there")
    return ok("commands run")


def check_forwarding(subject: Subject) -> Finding:
    """Check that sshd forwards libvirt's socket, and ports for screens and guests."""
    error = subject.own.fault
    if isinstance(error, SSHFault):
        return fault(error.fact, error.remedy or _FORWARDING)
    if error is not None:
        reason = "libvirt does not answer" if isinstance(error, LibvirtDown) else error.fact
        return unchecked(reason)
    if subject.own.forwards_ports is False:
        return fault("ssh: sshd forwards sockets, but no ports", _FORWARDING)
    return ok("sshd forwards sockets and ports" if subject.own.forwards_ports else "sshd forwards sockets")
