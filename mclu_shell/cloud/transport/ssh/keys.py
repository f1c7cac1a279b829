"""The keys for a login, from the agent and from files, in the order in which ssh offers them."""

import base64
import contextlib
import logging
import socket
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import paramiko
from paramiko.agent import AgentSSH
from paramiko.pkey import UnknownKeyType

from mclu_shell.cloud.transport.credentials import Credentials
from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.files.reader import read_regular_file

_log = logging.getLogger(__name__)

_AGENT_TIMEOUT_S = 2.0


def login_keys(target: Target, credentials: Credentials, locked: list[Path]) -> Iterator[paramiko.PKey]:
    """Yield the keys to offer, best first; append to `locked` the files that need a passphrase."""
    own = [key for file in target.identities if (key := _load(file, credentials, locked)) is not None]
    blobs = {key.asbytes() for key in own} | {blob for file in target.identities if (blob := _public_half(file))}
    agent_keys: list[paramiko.PKey] = list(_agent_keys(target.agent)) if target.agent else []
    yield from (key for key in agent_keys if key.asbytes() in blobs)
    if not target.identities_only:
        yield from (key for key in agent_keys if key.asbytes() not in blobs)
    yield from own


def _agent_keys(path: str) -> tuple[paramiko.PKey, ...]:
    """Return the keys of the agent that listens on `path`; none if it does not answer."""
    agent = AgentSSH()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_AGENT_TIMEOUT_S)
        connection.connect(path)
        # The public paramiko.Agent only supports $SSH_AUTH_SOCK.
        agent._connect(connection)  # type: ignore[attr-defined]  # noqa: SLF001
    except (OSError, paramiko.SSHException):
        connection.close()
        return ()
    return tuple(agent.get_keys())


@lru_cache(maxsize=64)
def _read_key(file: Path, _mtime_ns: int) -> paramiko.PKey:
    """Parse a key file once for all nodes, until it changes."""
    return paramiko.PKey.from_path(file)


def _load(file: Path, credentials: Credentials, locked: list[Path]) -> paramiko.PKey | None:
    unlocked: paramiko.PKey | None = credentials.keys.get(file)
    if unlocked is not None:
        return unlocked
    try:
        # paramiko would wait for the writer of a FIFO.
        return _read_key(file, file.stat().st_mtime_ns) if file.is_file() else None
    except (paramiko.PasswordRequiredException, TypeError):
        # cryptography, which parses the file for paramiko, raises TypeError if the passphrase is missing.
        locked.append(file)
    except (OSError, ValueError, paramiko.SSHException, UnknownKeyType) as error:
        _log.debug("%s: not used: %s", file, error)
    return None


def _public_half(file: Path) -> bytes:
    """Return the key in the .pub file beside a key file, which identifies a key that only the agent has."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return base64.b64decode(read_regular_file(file.with_name(file.name + ".pub")).split()[1])
    return b""
