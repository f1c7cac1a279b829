"""The keys to log in with: those of the agent and those in files, in the order in which ssh offers them."""

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

from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.ssh.prompts import unlocked_key

_log = logging.getLogger(__name__)


def login_keys(target: Target, locked: list[Path]) -> Iterator[paramiko.PKey]:
    """The keys to offer, best first; files that need a passphrase are noted in `locked`."""
    own = [key for file in target.identities if (key := _load(file, locked)) is not None]
    wanted = {key.asbytes() for key in own} | {blob for file in target.identities if (blob := _public(file))}
    held: list[paramiko.PKey] = list(_agent_keys(target.agent)) if target.agent else []
    yield from (key for key in held if key.asbytes() in wanted)
    if not target.identities_only:
        yield from (key for key in held if key.asbytes() not in wanted)
    yield from own


def _agent_keys(path: str) -> tuple[paramiko.PKey, ...]:
    """The keys of the agent that listens on `path`; none if it does not answer."""
    agent = AgentSSH()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(2.0)
        connection.connect(path)
        agent._connect(connection)  # type: ignore[attr-defined]  # noqa: SLF001  (paramiko.Agent itself knows only $SSH_AUTH_SOCK)
    except (OSError, paramiko.SSHException):
        connection.close()
        return ()
    return tuple(agent.get_keys())


@lru_cache(maxsize=64)
def _read_key(file: Path, _stamp: int) -> paramiko.PKey:
    """Parse a key file once for all nodes, for as long as it stays the same."""
    return paramiko.PKey.from_path(file)


def _load(file: Path, locked: list[Path]) -> paramiko.PKey | None:
    if (unlocked := unlocked_key(file)) is not None:
        return unlocked
    try:
        return _read_key(file, file.stat().st_mtime_ns)
    except (paramiko.PasswordRequiredException, TypeError):
        # cryptography, which parses the file for paramiko, reports a missing passphrase as a TypeError.
        locked.append(file)
    except (OSError, ValueError, paramiko.SSHException, UnknownKeyType) as error:
        _log.debug("%s: not used: %s", file, error)
    return None


def _public(file: Path) -> bytes:
    """The public half beside a key file, by which a key that only the agent holds is recognised."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return base64.b64decode(file.with_name(file.name + ".pub").read_text(encoding="utf-8").split()[1])
    return b""
