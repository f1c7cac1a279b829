"""Detection of a guest's sshd by its identification string (RFC 4253, section 4.2), from the guest's node."""

import socket
import time
from contextlib import suppress
from functools import partial

from mclu_shell.cloud.concurrency.deadline import Deadline
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.transport.forward import ByteStream
from mclu_shell.errors import ConnectionLost

_PORT = 22
_TIMEOUT_S = 3.0
# The server may send other lines first.
_MOST_BYTES = 4096


def fetch_banner(node: Node, address: str) -> str:
    """Return the identification string of the sshd at a guest's address; empty if there is none."""
    try:
        connection = node.connect((address, _PORT))
    except OSError:
        return ""
    except ConnectionLost:
        # The node's sshd does not answer before the guest accepts or refuses the connection.
        if node.check_alive():
            return ""
        raise
    try:
        with Deadline(time.monotonic() + _TIMEOUT_S, partial(_shut_down, connection)):
            return _read(connection)
    finally:
        connection.close()


def _read(connection: ByteStream) -> str:
    received = b""
    with suppress(OSError, EOFError):
        while len(received) < _MOST_BYTES and (data := connection.recv(_MOST_BYTES)):
            received += data
            if banner := find_banner(received):
                return banner
    return ""


def find_banner(received: bytes) -> str:
    """Return the first complete line that is an identification string; empty if there is none."""
    lines = (line for line in received.split(b"\n")[:-1] if line.startswith(b"SSH-"))
    return next(lines, b"").decode(errors="replace").strip()


def _shut_down(connection: ByteStream) -> None:
    with suppress(OSError):
        if isinstance(connection, socket.socket):
            # close() would not wake a thread in recv().
            connection.shutdown(socket.SHUT_RDWR)
        else:
            connection.close()
