"""What open shells of the same user have to share: finding it, and having a shell ask its node."""

import contextlib
import json
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mclu_shell.config import Config

# In a shell's run-time directory: what it tells of itself, and the socket on which it answers, at first with this.
TOLD, ASK = "share.json", "ask.sock"
HERE = b"1"
# A shell that is there says so in less than a millisecond, unless everything on this machine takes longer. Then ways of
# our own would take still more.
_PATIENCE_S = 0.3
_CHUNK = 1 << 16


class SharedEndpoint(NamedTuple):
    """What an open shell has of a node: the socket that leads to its libvirt, and the one on which it answers."""

    libvirt: Path
    shell: Path


def find_shared(config: Config, directories: Iterable[Path]) -> dict[str, SharedEndpoint]:
    """What open shells have for the same configuration, by node; empty if there are none."""
    found: dict[str, SharedEndpoint] = {}
    ours = repr(config.nodes)
    for directory in directories:
        # Another version may have told something else.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            told = json.loads((directory / TOLD).read_text(encoding="utf-8"))
            if told["nodes"] == ours and _is_alive(directory / ASK):
                there = {name: SharedEndpoint(Path(path), directory / ASK) for name, path in told["sockets"].items()}
                # One shell may have a connection that another has not: a passphrase was told to it alone.
                found = {name: shared for name, shared in there.items() if shared.libvirt.is_socket()} | found
    return found


def _is_alive(path: Path) -> bool:
    with _connected(path, _PATIENCE_S) as connection:
        return connection.recv(len(HERE)) == HERE


class ShareRequest:
    """A question for a shell at a socket, which has its node asked."""

    def __init__(self, path: Path, question: dict[str, Any]) -> None:
        self._path = path
        self._question = question
        self._connection: socket.socket | None = None
        self._said = b""

    def answer(self, timeout_s: float) -> Any:
        """Ask, and wait that long; OSError or ValueError where there is no answer.

        After a TimeoutError the same answer can be waited for again.
        """
        if self._connection is None:
            self._connection = _connected(self._path, timeout_s)
            self._connection.sendall(json.dumps(self._question).encode() + b"\n")
        self._connection.settimeout(timeout_s)
        while data := self._connection.recv(_CHUNK):
            self._said += data
        self._connection.close()
        if not self._said.startswith(HERE):
            raise ConnectionResetError
        return json.loads(self._said[len(HERE) :])


def _connected(path: Path, timeout_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection
