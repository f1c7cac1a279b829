"""The login with paramiko: known host keys, and public keys that need no reply from the user.

It accepts nothing that ssh would refuse. After it has failed, OpenSSH does the rest.
"""

import time
from collections.abc import Sequence

import paramiko

from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.openssh.known_hosts import KnownKey, known_keys
from mclu_shell.cloud.transport.paramiko_ssh.keys import login_keys, signature_algorithms
from mclu_shell.cloud.transport.ssh.faults import no_greeting
from mclu_shell.errors import SSHFault

# paramiko's timers may expire this much too early.
_EARLY_S = 0.2
# OpenSSH's name, and paramiko's for the same algorithm.
_SYNONYMS = {"curve25519-sha256": "curve25519-sha256@libssh.org"}


def handshake(transport: paramiko.Transport, target: Target, deadline: float) -> None:
    """Exchange keys and check the host key, before any credentials are sent."""
    lines = _known_lines(target)
    _restrict(transport, target, lines)
    timeout_s = max(0.1, deadline - time.monotonic())
    transport.banner_timeout = transport.handshake_timeout = timeout_s
    try:
        transport.start_client(timeout=timeout_s)
        # start_client returns without an error at its timeout; without a session this raises.
        shown = transport.get_remote_server_key()
    # Besides its own exceptions, paramiko lets those of cryptography and of its parsers through.
    except Exception as error:
        # paramiko's message is the same if sshd sends nothing and if it closes the connection; only the time differs.
        if time.monotonic() >= deadline - _EARLY_S:
            raise no_greeting(target) from error
        raise SSHFault(f"ssh: {error or 'connection closed during the key exchange'}", place=target.node) from error
    _check_host_key(shown, lines, target)


def _restrict(transport: paramiko.Transport, target: Target, lines: list[KnownKey]) -> None:
    """Offer only algorithms that the configuration allows; SSHFault if paramiko has none of a kind."""
    options, allowed = transport.get_security_options(), target.algorithms
    # As in ssh, the kinds of key that known_hosts has of this host come first; sshd could use another kind otherwise.
    known = {kind for key in lines if not key.marker for kind in signature_algorithms(key.kind)}
    host_keys = list(allowed.host_keys)
    if not allowed.keeps_host_key_order:
        host_keys.sort(key=lambda kind: kind not in known)
    try:
        options.ciphers = _common(allowed.ciphers, options.ciphers)
        options.kex = _common(allowed.key_exchange, options.kex)
        options.digests = _common(allowed.macs, options.digests)
        options.key_types = _common(host_keys, options.key_types)
    except ValueError as error:
        raise SSHFault(f"ssh: paramiko has no {error} of the SSH configuration", place=target.node) from error


def _common(allowed: Sequence[str], supported: Sequence[str]) -> tuple[str, ...]:
    names = dict.fromkeys(_SYNONYMS.get(name, name) for name in allowed)
    if not (common := tuple(name for name in names if name in supported)):
        raise ValueError(f"algorithm among {', '.join(allowed)}")
    return common


def _known_lines(target: Target) -> list[KnownKey]:
    """Return the known_hosts lines of a node, by its alias or address and port, as ssh looks them up.

    As in ssh, a line without a port confirms a key at another port.
    """
    if target.host_key_name:
        # ssh looks an alias up without the port.
        return known_keys(target.known_hosts, target.host_key_name, 22)
    return known_keys(target.known_hosts, target.host, target.port) or known_keys(target.known_hosts, target.host, 22)


def _check_host_key(shown: paramiko.PKey, lines: list[KnownKey], target: Target) -> None:
    """Accept a key only if known_hosts has it; otherwise ssh decides, and asks."""
    same = [line for line in lines if (line.kind, line.key) == (shown.get_name(), shown.get_base64())]
    is_short = shown.get_name() == "ssh-rsa" and shown.get_bits() < target.algorithms.least_rsa_bits
    if not same or is_short or any(line.marker for line in same):
        raise SSHFault("ssh: host key not known to paramiko", place=target.node)


def authenticate(transport: paramiko.Transport, target: Target, deadline: float) -> None:
    """Log in with the agent's keys, then with the key files, in ssh's order."""
    try:
        for key in login_keys(target, deadline):
            if not transport.is_active():
                break
            if _accepts(transport, target, key, deadline):
                return
    # A key, a token or an agent may fail in ways that paramiko does not translate.
    except Exception as error:
        raise SSHFault(f"ssh: login failed: {error or type(error).__name__}", place=target.node) from error
    raise SSHFault(f"ssh: permission denied for {target.user}", place=target.node)


def _accepts(transport: paramiko.Transport, target: Target, key: paramiko.PKey, deadline: float) -> bool:
    """Return whether sshd accepts a key; after too many keys it closes the connection."""
    transport.auth_timeout = max(0.1, deadline - time.monotonic())
    try:
        # A list of further methods means that sshd has accepted the key, and wants a password or code, too.
        return not transport.auth_publickey(target.user, key)
    except paramiko.AuthenticationException as error:
        if "timeout" in str(error).lower():
            raise
        return False
