"""The keys for a login, from the agent and from files, in the order in which ssh offers them."""

import base64
import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import paramiko
from paramiko.agent import AgentSSH

from mclu_shell.cloud.transport.openssh.config import Algorithms, Target
from mclu_shell.files.reader import read_regular_file

_log = logging.getLogger(__name__)


class _File(NamedTuple):
    """A key file: the public key that ssh offers for it, and the private one if paramiko can use it."""

    blob: bytes
    key: paramiko.PKey | None


def login_keys(target: Target, deadline: float) -> Iterator[paramiko.PKey]:
    """Yield the keys to offer, in ssh's order; those that paramiko cannot use are left to OpenSSH.

    The agent has until `deadline` (of `time.monotonic`) for each of its replies.
    """
    files = [_read_file(file) for file in target.identities]
    preferred: list[paramiko.PKey] = []
    others: list[paramiko.PKey] = []
    for key in _agent_keys(target.agent, deadline) if target.agent else ():
        # The agent's key replaces the first file with the same one.
        match = next((file for file in files if file.blob == key.asbytes()), None)
        if match is not None:
            files.remove(match)
            preferred.append(key)
        elif not target.identities_only:
            others.append(key)
    own = [file.key for file in files if file.key is not None]
    return (key for key in (*preferred, *others, *own) if _is_allowed(key, target.algorithms))


def _is_allowed(key: paramiko.PKey, algorithms: Algorithms) -> bool:
    """Return whether ssh would offer a key (ssh_config(5), PubkeyAcceptedAlgorithms and RequiredRSASize)."""
    if not set(signature_algorithms(key.get_name())) <= set(algorithms.public_keys):
        return False
    return key.get_name() != "ssh-rsa" or key.get_bits() >= algorithms.least_rsa_bits


def signature_algorithms(kind: str) -> list[str]:
    """Return the signature algorithms of a kind of key (RFC 8332 for RSA)."""
    return ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]


class _AgentSocket(socket.socket):
    """A connection to the agent; paramiko's thread prints a traceback for a TimeoutError."""

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        try:
            return super().recv(size, flags)
        except OSError as error:
            raise paramiko.SSHException("the agent does not answer") from error


def _agent_keys(path: str, deadline: float) -> tuple[paramiko.PKey, ...]:
    """Return the keys of the agent that listens on `path`; none if it does not answer."""
    agent = AgentSSH()
    connection = _AgentSocket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(max(0.1, deadline - time.monotonic()))
        connection.connect(path)
        # The public paramiko.Agent only supports $SSH_AUTH_SOCK.
        agent._connect(connection)  # type: ignore[attr-defined]  # noqa: SLF001
    except (OSError, paramiko.SSHException):
        connection.close()
        return ()
    return tuple(agent.get_keys())


def _read_file(file: Path) -> _File:
    public, key = _public_half(file), _load(file)
    if key is None:
        return _File(public, None)
    # ssh offers the key of the .pub file, and could not sign with another one.
    return _File(public or key.asbytes(), None if public and public != key.asbytes() else key)


@lru_cache(maxsize=64)
def _read_key(file: Path, _mtime_ns: int) -> paramiko.PKey:
    """Parse a key file once for all nodes, until it changes."""
    # ssh does not accept everything that paramiko accepts before and between the lines.
    text = read_regular_file(file)
    if not text.startswith(b"-----BEGIN ") or b"\r" in text:
        raise ValueError("an unusual format")
    return paramiko.PKey.from_path(file)


def _load(file: Path) -> paramiko.PKey | None:
    """Return the key of a file; None if it needs a passphrase, or ssh would not use it."""
    try:
        status = file.stat()
        # ssh ignores a key that others could read (ssh(1), FILES).
        if status.st_uid == os.getuid() and status.st_mode & 0o077:
            return None
        return _read_key(file, status.st_mtime_ns)
    except FileNotFoundError:
        return None
    # Each kind of file that paramiko and cryptography do not know raises another exception.
    except Exception as error:  # noqa: BLE001
        _log.debug("%s: not used by paramiko: %s", file, error)
    return None


def _public_half(file: Path) -> bytes:
    """Return the key in the .pub file beside a key file, which identifies a key that only the agent has."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return base64.b64decode(read_regular_file(file.with_name(file.name + ".pub")).split()[1])
    return b""
