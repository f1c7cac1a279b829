"""The client of open shells of the same user: it finds them, and sends them requests."""

import contextlib
import json
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mclu_shell.cloud.state.json_codec import MOST_CACHED_CHARACTERS
from mclu_shell.config import Config
from mclu_shell.files.reader import read_regular_file
from mclu_shell.parsing.json_text import parse_json
from mclu_shell.parsing.limits import InvalidData

# Files in a shell's run-time directory: its description, and the socket for requests. The shell greets each client.
DESCRIPTION, SOCKET = "share.json", "ask.sock"
GREETING = b"1"
# A shell greets in less than a millisecond. On a machine too busy for that, an SSH login would take still longer.
_GREETING_TIMEOUT_S = 0.3
_CHUNK = 1 << 16
# A report of 10,000 guests takes 2 MB.
_MOST_BYTES = 32 << 20


class SharedEndpoint(NamedTuple):
    """An open shell's sockets for a node: the forward to its libvirt, and the socket for requests."""

    libvirt: Path
    shell: Path


def find_shared(config: Config, directories: Iterable[Path]) -> dict[str, SharedEndpoint]:
    """Return the endpoints in open shells with the same configuration, by node; empty if there are none."""
    endpoints: dict[str, SharedEndpoint] = {}
    ours = repr(config.nodes)
    for directory in directories:
        # The description may be of another version of mclu.
        with contextlib.suppress(OSError, InvalidData, ValueError, KeyError, TypeError, AttributeError):
            description = parse_json(read_regular_file(directory / DESCRIPTION))
            if description["nodes"] == ours and _is_alive(directory / SOCKET):
                sockets = {name: Path(path) for name, path in description["sockets"].items()}
                # A shell may have a connection that others lack: the user typed the passphrase only there.
                endpoints = {
                    name: SharedEndpoint(path, directory / SOCKET) for name, path in sockets.items() if path.is_socket()
                } | endpoints
    return endpoints


def _is_alive(path: Path) -> bool:
    with _connected(path, _GREETING_TIMEOUT_S) as connection:
        return connection.recv(len(GREETING)) == GREETING


class ShareRequest:
    """A request to an open shell at the socket `path`, for an answer of one of its nodes."""

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self._path = path
        self._request = request
        self._connection: socket.socket | None = None
        self._received = bytearray()

    def answer(self, timeout_s: float) -> Any:
        """Send the request and return the answer; OSError or InvalidData if there is none in time.

        After a TimeoutError, another call waits for the same answer.
        """
        if self._connection is None:
            self._connection = _connected(self._path, timeout_s)
            self._connection.sendall(json.dumps(self._request).encode() + b"\n")
        deadline = time.monotonic() + timeout_s
        while data := self._receive(self._connection, deadline):
            self._received += data
            if len(self._received) > _MOST_BYTES:
                raise ConnectionResetError
        self._connection.close()
        if not self._received.startswith(GREETING):
            raise ConnectionResetError
        return parse_json(bytes(self._received[len(GREETING) :]), MOST_CACHED_CHARACTERS)

    @staticmethod
    def _receive(connection: socket.socket, deadline: float) -> bytes:
        if (left_s := deadline - time.monotonic()) <= 0:
            raise TimeoutError
        connection.settimeout(left_s)
        return connection.recv(_CHUNK)


def _connected(path: Path, timeout_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection
