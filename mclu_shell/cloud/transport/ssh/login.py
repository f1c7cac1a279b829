"""The SSH handshake with a node, the check of its host key, and the login."""

import shlex
import time
from typing import TYPE_CHECKING

import paramiko

from mclu_shell.cloud.transport.credentials import Credentials
from mclu_shell.cloud.transport.dial import SSHD_HANGS
from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.openssh.known_hosts import KnownKey, known_keys, listed_name
from mclu_shell.cloud.transport.ssh.keys import login_keys
from mclu_shell.cloud.transport.ssh.prompts import host_key_question, passphrase_question, password_question
from mclu_shell.errors import (
    ConnectionLost,
    HostKeyChanged,
    HostKeyUnknown,
    PromptRequired,
    SSHDown,
    SSHFault,
    SSHRefused,
)

# paramiko's timers may expire this much too early.
_EARLY_S = 0.2

if TYPE_CHECKING:
    from pathlib import Path


def handshake(transport: paramiko.Transport, target: Target, deadline: float) -> None:
    """Exchange keys and check the host key, before any credentials are sent."""
    listed_as, lines = _known_lines(target)
    # As in ssh, the kinds of key that known_hosts has of this host come first; sshd could use another kind otherwise.
    preferred = [kind for key in lines if not key.marker for kind in _signatures(key.kind)]
    offered = transport.get_security_options()
    offered.key_types = list(dict.fromkeys([k for k in preferred if k in offered.key_types] + list(offered.key_types)))
    timeout_s = max(0.1, deadline - time.monotonic())
    transport.banner_timeout = transport.handshake_timeout = timeout_s
    try:
        transport.start_client(timeout=timeout_s)
        # start_client returns without an error at its timeout; without a session this raises.
        shown = transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError) as error:
        # paramiko's message is the same if sshd sends nothing and if it closes the connection; only the time differs.
        if time.monotonic() >= deadline - _EARLY_S:
            raise SSHDown("ssh: not answering", place=target.node, remedy=SSHD_HANGS) from error
        if "banner" in str(error):
            raise SSHDown("ssh: connection closed at once", place=target.node, remedy=_diagnosis(target)) from error
        # For a connection that ends in the middle paramiko has no message.
        message = f"ssh: {str(error) or 'connection closed during the key exchange'}"
        raise SSHFault(message, place=target.node, remedy=_diagnosis(target)) from error
    _check_host_key(shown, lines, target, listed_as)


def _known_lines(target: Target) -> tuple[str, list[KnownKey]]:
    """Return the known_hosts lines of a node, and the name that they list it by: its alias or address, as in ssh.

    The node's name in mclu.conf comes last: it lists a node whose address is only in mclu.conf. If no line has the
    node's port, return the lines for port 22 and no name: as in ssh, they can confirm a key, but not contradict it.
    """
    if target.host_key_name:
        # ssh looks an alias up without the port.
        return target.host_key_name, known_keys(target.known_hosts, target.host_key_name, 22)
    for name in (target.host, target.node):
        if lines := known_keys(target.known_hosts, name, target.port):
            return listed_name(name, target.port), lines
    return "", [line for name in (target.host, target.node) for line in known_keys(target.known_hosts, name, 22)]


def _signatures(kind: str) -> list[str]:
    """Return the signature algorithms of a kind of key (RFC 8332 for RSA)."""
    return ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]


def _check_host_key(shown: paramiko.PKey, lines: list[KnownKey], target: Target, listed_as: str) -> None:
    same = [line for line in lines if (line.kind, line.key) == (shown.get_name(), shown.get_base64())]
    revoked = [line for line in same if line.marker == "@revoked"]
    plain = [line for line in lines if not line.marker]
    if revoked:
        raise SSHRefused(
            "ssh: this host key is revoked",
            place=target.node,
            remedy=f"do not trust it (revoked in {revoked[0].place})",
        )
    if any(not line.marker for line in same):
        return
    if listed_as and any(line.kind == shown.get_name() for line in plain):
        raise HostKeyChanged(
            "ssh: host key has CHANGED",
            place=target.node,
            remedy="someone may be intercepting the connection; if the node was reinstalled: "
            f"ssh-keygen -R {shlex.quote(listed_as)}, then {target.login} (known key: {plain[0].place})",
        )
    raise HostKeyUnknown(
        "ssh: host key not known",
        host_key_question(target, shown),
        place=target.node,
        remedy=f"run {target.login} once to check its key {shown.fingerprint} and save it",
    )


def authenticate(transport: paramiko.Transport, target: Target, credentials: Credentials, deadline: float) -> None:
    """Log in with the agent's keys, then with the key files, as ssh does, then with a password from the prompt."""
    locked: list[Path] = []
    try:
        if any(_accepts(transport, target, key, deadline) for key in login_keys(target, credentials, locked)):
            return
        if _accepts_password(transport, target, credentials, deadline):
            return
        offers_password = _offers_password(transport, target)
    except (paramiko.SSHException, OSError, EOFError) as error:
        if isinstance(error, paramiko.AuthenticationException) and "timeout" in str(error).lower():
            raise SSHFault("ssh: no reply to the login", place=target.node, remedy=_diagnosis(target)) from error
        raise ConnectionLost(
            "ssh: connection lost during login", place=target.node, remedy=_diagnosis(target)
        ) from error
    message = f"ssh: permission denied for {target.user}"
    if locked:
        remedy = f"ssh-add {shlex.quote(str(locked[0]))} (it has a passphrase)"
        raise PromptRequired(message, passphrase_question(locked[0], credentials), place=target.node, remedy=remedy)
    if offers_password:
        copy = target.login.replace("ssh ", "ssh-copy-id ", 1)
        remedy = f"connect at the prompt of mclu, which asks for the password, or install your key: {copy}"
        raise PromptRequired(message, password_question(target, credentials), place=target.node, remedy=remedy)
    raise SSHRefused(message, place=target.node, remedy=_diagnosis(target))


def _accepts(transport: paramiko.Transport, target: Target, key: paramiko.PKey, deadline: float) -> bool:
    """Return whether sshd accepts a key; after too many keys it closes the connection."""
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


def _accepts_password(transport: paramiko.Transport, target: Target, credentials: Credentials, deadline: float) -> bool:
    """Return whether sshd accepts the password from the prompt; forget a wrong one."""
    password = credentials.passwords.get(target.password_key)
    if password is None or not transport.is_active():
        return False
    transport.auth_timeout = max(0.1, deadline - time.monotonic())
    try:
        transport.auth_password(target.user, password)
    except paramiko.AuthenticationException:
        credentials.passwords.pop(target.password_key, None)
        return False
    return True


def _offers_password(transport: paramiko.Transport, target: Target) -> bool:
    """Return whether sshd offers password authentication."""
    if not transport.is_active():
        return False
    try:
        transport.auth_none(target.user)
    except paramiko.BadAuthenticationType as error:
        return bool({"password", "keyboard-interactive"} & set(error.allowed_types))
    except (paramiko.SSHException, EOFError):
        # Then sshd asks for no password, and the login is denied.
        pass
    return False


def _diagnosis(target: Target) -> str:
    return f"run {target.login} to see why"
