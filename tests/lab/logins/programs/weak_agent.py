"""An agent before a real one: it answers slowly, or refuses to sign with one key, as a removed token does.

Usage: weak_agent.py REAL_SOCKET SOCKET [--delay SECONDS] [--refuse PUBLIC_KEY_FILE].
"""

import argparse
import base64
import contextlib
import os
import socket
import struct
import threading
import time
from pathlib import Path

_SIGN_REQUEST = 13
_FAILURE = b"\0\0\0\1\5"


def main() -> None:
    """Serve until the end of the set-up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("real")
    parser.add_argument("socket", type=Path)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--refuse", type=Path)
    options = parser.parse_args()
    refused = base64.b64decode(options.refuse.read_text().split()[1]) if options.refuse else None
    with socket.socket(socket.AF_UNIX) as listener:
        bound = options.socket.with_suffix(".new")
        listener.bind(str(bound))
        listener.listen()
        # The set-up waits for the name.
        bound.rename(options.socket)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, options.real, options.delay, refused), daemon=True).start()


def _serve(client: socket.socket, real: str, delay_s: float, refused: bytes | None) -> None:
    with client, socket.socket(socket.AF_UNIX) as agent, contextlib.suppress(EOFError, OSError):
        agent.connect(real)
        while True:
            request = _message(client)
            if request[4] == _SIGN_REQUEST:
                time.sleep(delay_s)
                if refused is not None and request[9 : 9 + len(refused)] == refused:
                    client.sendall(_FAILURE)
                    continue
            agent.sendall(request)
            client.sendall(_message(agent))


def _message(connection: socket.socket) -> bytes:
    header = _read(connection, 4)
    return header + _read(connection, struct.unpack(">I", header)[0])


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (part := connection.recv(size - len(data))):
            raise EOFError
        data += part
    return data


if __name__ == "__main__":
    os.umask(0o077)
    main()
