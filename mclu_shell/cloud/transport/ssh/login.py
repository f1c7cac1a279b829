"""Getting into a node: the handshake, the check of its host key, and the login."""

import shlex
import time
from typing import TYPE_CHECKING

import paramiko

from mclu_shell.cloud.transport.dial import SSHD_HANGS
from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.openssh.known_hosts import KnownKey, known_keys, listed_name
from mclu_shell.cloud.transport.ssh.keys import login_keys
from mclu_shell.cloud.transport.ssh.prompts import (
    ask_host_key,
    ask_passphrase,
    ask_password,
    forget_password,
    told_password,
)
from mclu_shell.errors import (
    ConnectionLost,
    HostKeyChanged,
    HostKeyUnknown,
    PromptRequired,
    SSHDown,
    SSHFault,
    SSHRefused,
)

# How much too early paramiko's timers may go off.
_TIMERS_S = 0.2

if TYPE_CHECKING:
    from pathlib import Path


def handshake(transport: paramiko.Transport, target: Target, deadline: float) -> None:
    """Exchange keys, and check the host key before anything is told to the other side."""
    listed, known = _known(target)
    # As ssh does: ask first for the kinds of key that we know of this host, or it would show another one.
    preferred = [kind for key in known if not key.marker for kind in _signatures(key.kind)]
    offered = transport.get_security_options()
    offered.key_types = list(dict.fromkeys([k for k in preferred if k in offered.key_types] + list(offered.key_types)))
    left = max(0.1, deadline - time.monotonic())
    transport.banner_timeout = transport.handshake_timeout = left
    try:
        transport.start_client(timeout=left)
        # start_client returns at its time limit as if all were well; without a session this raises.
        shown = transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError) as error:
        # paramiko says the same of an sshd that keeps silent and of one that hangs up: time tells.
        if time.monotonic() >= deadline - _TIMERS_S:
            raise SSHDown("ssh: not answering", place=target.node, remedy=SSHD_HANGS) from error
        if "banner" in str(error):
            raise SSHDown("ssh: connection closed at once", place=target.node, remedy=_see(target)) from error
        # An end in the middle has no words of its own.
        told = f"ssh: {str(error) or 'connection closed while keys were exchanged'}"
        raise SSHFault(told, place=target.node, remedy=_see(target)) from error
    _check_host_key(shown, known, target, listed)


def _known(target: Target) -> tuple[str, list[KnownKey]]:
    """The lines of known_hosts about a node, and the name in them, as ssh looks for it: the alias, or the address.

    The name in mclu.conf comes last: under it stands a node whose address mclu.conf alone knows. Without any line for
    the node's port, those for port 22 are returned with no name: as for ssh, they may vouch for a key, but not
    against one.
    """
    if target.host_key_name:
        # ssh adds no port to an alias.
        return target.host_key_name, known_keys(target.known_hosts, target.host_key_name, 22)
    for name in (target.host, target.node):
        if known := known_keys(target.known_hosts, name, target.port):
            return listed_name(name, target.port), known
    return "", [line for name in (target.host, target.node) for line in known_keys(target.known_hosts, name, 22)]


def _signatures(kind: str) -> list[str]:
    """The signature algorithms of a kind of key (RFC 8332 for RSA)."""
    return ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]


def _check_host_key(shown: paramiko.PKey, known: list[KnownKey], target: Target, listed: str) -> None:
    same = [line for line in known if (line.kind, line.key) == (shown.get_name(), shown.get_base64())]
    revoked = [line for line in same if line.marker == "@revoked"]
    plain = [line for line in known if not line.marker]
    if revoked:
        raise SSHRefused(
            "ssh: this host key is revoked",
            place=target.node,
            remedy=f"{revoked[0].place} says so; do not trust it",
        )
    if any(not line.marker for line in same):
        return
    if listed and any(line.kind == shown.get_name() for line in plain):
        raise HostKeyChanged(
            "ssh: host key has CHANGED",
            place=target.node,
            remedy="somebody may be listening in; if the node was installed anew: "
            f"ssh-keygen -R {shlex.quote(listed)}, then {target.login} (known key: {plain[0].place})",
        )
    raise HostKeyUnknown(
        "ssh: host key not known",
        ask_host_key(target, shown),
        place=target.node,
        remedy=f"run {target.login} once to check its key {shown.fingerprint} and keep it",
    )


def authenticate(transport: paramiko.Transport, target: Target, deadline: float) -> None:
    """Log in with the agent's keys, then with the key files, as ssh would, then with a password that was told."""
    locked: list[Path] = []
    try:
        if any(_accepts(transport, target, key, deadline) for key in login_keys(target, locked)):
            return
        if _takes_password(transport, target, deadline):
            return
        wants_password = _wants_password(transport, target)
    except (paramiko.SSHException, OSError, EOFError) as error:
        if isinstance(error, paramiko.AuthenticationException) and "timeout" in str(error).lower():
            raise SSHFault("ssh: login not answered", place=target.node, remedy=_see(target)) from error
        raise ConnectionLost("ssh: connection lost during login", place=target.node, remedy=_see(target)) from error
    told = f"ssh: permission denied for {target.user}"
    if locked:
        remedy = f"ssh-add {shlex.quote(str(locked[0]))} (it has a passphrase)"
        raise PromptRequired(told, ask_passphrase(locked[0]), place=target.node, remedy=remedy)
    if wants_password:
        copy = target.login.replace("ssh ", "ssh-copy-id ", 1)
        remedy = f"it takes a password: the prompt of mclu asks for it, or give it your key with {copy}"
        raise PromptRequired(told, ask_password(target), place=target.node, remedy=remedy)
    raise SSHRefused(told, place=target.node, remedy=_see(target))


def _accepts(transport: paramiko.Transport, target: Target, key: paramiko.PKey, deadline: float) -> bool:
    """Whether sshd lets us in with a key; after too many of them it hangs up."""
    if not transport.is_active():
        return False
    transport.auth_timeout = max(0.1, deadline - time.monotonic())
    try:
        transport.auth_publickey(target.user, key)
    except paramiko.AuthenticationException as error:
        if "timeout" in str(error).lower():
            raise
        return False
    return True


def _takes_password(transport: paramiko.Transport, target: Target, deadline: float) -> bool:
    """Whether sshd lets us in with the password that was told, if one was."""
    password = told_password(target)
    if password is None or not transport.is_active():
        return False
    transport.auth_timeout = max(0.1, deadline - time.monotonic())
    try:
        transport.auth_password(target.user, password)
    except paramiko.AuthenticationException:
        forget_password(target)
        return False
    return True


def _wants_password(transport: paramiko.Transport, target: Target) -> bool:
    """Whether sshd would take a password."""
    if not transport.is_active():
        return False
    try:
        transport.auth_none(target.user)
    except paramiko.BadAuthenticationType as error:
        return bool({"password", "keyboard-interactive"} & set(error.allowed_types))
    except (paramiko.SSHException, EOFError):
        # Without a question it is simply denied.
        pass
    return False


def _see(target: Target) -> str:
    return f"see what {target.login} says"
