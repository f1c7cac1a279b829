"""Whether an sshd answers in a guest: by what it says first (RFC 4253, section 4.2), reached from the guest's node."""

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
# Other lines may come before.
_MOST_BYTES = 4096


def fetch_banner(node: Node, address: str) -> str:
    """What sshd says at a guest's address; empty if nobody does, or not what sshd would."""
    try:
        connection = node.connect((address, _PORT))
    except OSError:
        return ""
    except ConnectionLost:
        # sshd on the node says nothing as long as the guest does not.
        if node.check_alive():
            return ""
        raise
    try:
        with Deadline(time.monotonic() + _TIMEOUT_S, partial(_end, connection)):
            return _read(connection)
    finally:
        connection.close()


def _read(connection: ByteStream) -> str:
    said = b""
    with suppress(OSError, EOFError):
        while len(said) < _MOST_BYTES and (data := connection.recv(_MOST_BYTES)):
            said += data
            for line in said.split(b"\n")[:-1]:
                if line.startswith(b"SSH-"):
                    return line.decode(errors="replace").strip()
    return ""


def _end(connection: ByteStream) -> None:
    with suppress(OSError):
        if isinstance(connection, socket.socket):
            # Closing it would not wake who receives from it.
            connection.shutdown(socket.SHUT_RDWR)
        else:
            connection.close()
