"""Faults of sshd that both kinds of SSH connection report in the same words."""

from collections.abc import Sequence

from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.errors import CommandsRefused, SSHDown, SSHFault, SSHRefused

_NO_SSHD = "the machine is on; start sshd at its console: systemctl start sshd"


def connection_refused(target: Target) -> SSHDown:
    """Return the fault of a machine without sshd."""
    return SSHDown(f"ssh: connection refused on port {target.port}", place=target.node, remedy=_NO_SSHD)


def no_greeting(target: Target) -> SSHDown:
    """Return the fault of an sshd that accepts a connection and sends nothing."""
    remedy = "if its login is slow, raise answer_timeout= in mclu.conf; else check its console"
    return SSHDown("ssh: not answering", place=target.node, remedy=remedy)


def forwarding_refused(target: Target, *, is_socket: bool) -> SSHRefused:
    """Return the fault of an sshd that opens no channels to unix sockets, or to ports."""
    things, option = ("sockets", "StreamLocal") if is_socket else ("ports", "Tcp")
    remedy = f"set 'Allow{option}Forwarding yes' in its sshd_config"
    return SSHRefused(f"ssh: sshd does not forward {things}", place=target.node, remedy=remedy)


def session_refused(target: Target) -> CommandsRefused:
    """Return the fault of an sshd that opens no session."""
    remedy = "set 'MaxSessions 10' in its sshd_config"
    return CommandsRefused("cannot run commands: sshd opens no session", place=target.node, remedy=remedy)


def command_timed_out(target: Target, argv: Sequence[str], timeout_s: float) -> SSHFault:
    """Return the fault of a command that has not ended in time."""
    return SSHFault(f"{argv[0]!r} timed out after {timeout_s:g} s", place=target.node)


def too_much_output(target: Target, argv: Sequence[str], most: int) -> SSHFault:
    """Return the fault of a command that prints more than `most` bytes."""
    remedy = f"check the start-up files of {target.user}'s shell there"
    return SSHFault(f"{argv[0]!r} printed more than {most >> 20} MiB", place=target.node, remedy=remedy)
