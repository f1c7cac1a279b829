"""A client of an ssh process that shares its connection (OpenSSH's PROTOCOL.mux, version 4).

`ssh -S SOCKET` would do the same, but each command and channel would be a process of its own.
"""

import contextlib
import select
import socket
import struct
import time
from pathlib import Path
from typing import Final

_VERSION = 4
_HELLO: Final = 0x00000001
_NEW_SESSION: Final = 0x10000002
_OPEN_FORWARD: Final = 0x10000006
_CLOSE_FORWARD: Final = 0x10000007
_NEW_STREAM: Final = 0x10000008
_OK: Final = 0x80000001
_FAILURES: Final = (0x80000002, 0x80000003)
_EXIT_STATUS: Final = 0x80000004
_OPENED: Final = 0x80000006
# MUX_FWD_LOCAL, and the port that stands for a unix socket (PORT_STREAMLOCAL).
_LOCAL, _UNIX = 1, 0xFFFFFFFE
_NO_ESCAPE = 0xFFFFFFFF
_LONGEST = 256 << 10


class MuxRefused(Exception):
    """The ssh process, or the sshd behind it, has refused a request."""


class MuxClient:
    """One connection to the control socket; a session or stream ends with it."""

    def __init__(self, path: Path, deadline: float) -> None:
        """Connect before `deadline` (of `time.monotonic`); OSError if the ssh process does not answer."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._deadline = deadline
        try:
            self._limit(deadline)
            self._socket.connect(str(path))
            self._send(struct.pack(">II", _HELLO, _VERSION))
            kind, version = struct.unpack_from(">II", self._receive())
            if (kind, version) != (_HELLO, _VERSION):
                raise ConnectionError(f"unknown version {version} of ssh's control protocol")
        except BaseException:
            self._socket.close()
            raise

    def open_session(self, command: str, descriptors: tuple[int, int, int], deadline: float) -> None:
        """Start a command with these descriptors as stdin, stdout and stderr; MuxRefused if sshd refuses."""
        # Without a terminal, X11, an agent, a subsystem and an escape character.
        options = struct.pack(">5I", 0, 0, 0, 0, _NO_ESCAPE)
        body = _string("") + options + _string("") + _string(command)
        self._request(_NEW_SESSION, body, descriptors, deadline)

    def open_stream(self, host: str, port: int, descriptor: int, deadline: float) -> None:
        """Connect a socket to a host and port as the node sees them; MuxRefused if nothing listens there."""
        body = _string("") + _string(host) + struct.pack(">I", port)
        self._request(_NEW_STREAM, body, (descriptor, descriptor), deadline)

    def open_forward(self, local: Path, remote: str, deadline: float) -> None:
        """Forward a unix socket of this machine to one of the node; MuxRefused if it cannot be created."""
        self._request(_OPEN_FORWARD, _forward(local, remote), (), deadline)

    def close_forward(self, local: Path, remote: str, deadline: float) -> None:
        """End a forward; MuxRefused if there is none."""
        self._request(_CLOSE_FORWARD, _forward(local, remote), (), deadline)

    @property
    def is_open(self) -> bool:
        """True until the ssh process ends the connection."""
        # ssh sends nothing here by itself; at the end of the connection, the socket becomes readable.
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def exit_status(self, timeout_s: float) -> int:
        """Wait for the end of the session and return its status; -1 if there is none in time."""
        with contextlib.suppress(OSError, EOFError):
            self._limit(time.monotonic() + timeout_s)
            while True:
                kind, _session, status = struct.unpack(">III", self._receive()[:12].ljust(12, b"\0"))
                if kind == _EXIT_STATUS:
                    return int(status)
        return -1

    def close(self) -> None:
        """End the connection, and with it its session or stream."""
        # close() alone would not wake a thread that waits for the exit status.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _request(self, kind: int, body: bytes, descriptors: tuple[int, ...], deadline: float) -> None:
        self._limit(deadline)
        self._send(struct.pack(">II", kind, 0) + body)
        for descriptor in descriptors:
            # One message for each, with a byte that ssh ignores.
            socket.send_fds(self._socket, [b"\0"], [descriptor])
        check_reply(self._receive())

    def _limit(self, deadline: float) -> None:
        self._deadline = deadline
        self._socket.settimeout(max(0.01, deadline - time.monotonic()))

    def _send(self, message: bytes) -> None:
        self._socket.sendall(struct.pack(">I", len(message)) + message)

    def _receive(self) -> bytes:
        (length,) = struct.unpack(">I", self._read(4))
        if not 8 <= length <= _LONGEST:
            raise ConnectionError(f"a message of {length} bytes in ssh's control protocol")
        return self._read(length)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            # The deadline is for the whole message.
            self._limit(self._deadline)
            if not (part := self._socket.recv(size - len(data))):
                raise EOFError
            data += part
        return data


def check_reply(message: bytes) -> None:
    """Check the reply to a request; raise MuxRefused or, if the message is invalid, ConnectionError."""
    reply, _request = struct.unpack_from(">II", message.ljust(8, b"\0"))
    if reply in _FAILURES:
        # The reason is a string (RFC 4251, section 5).
        length = int.from_bytes(message[8:12], "big")
        raise MuxRefused(message[12 : 12 + length].decode(errors="replace"))
    if reply not in (_OK, _OPENED):
        raise ConnectionError(f"unknown reply {reply:#x} of ssh's control protocol")


def _forward(local: Path, remote: str) -> bytes:
    places = _string(str(local)) + struct.pack(">I", _UNIX) + _string(remote) + struct.pack(">I", _UNIX)
    return struct.pack(">I", _LOCAL) + places


def _string(text: str) -> bytes:
    encoded = text.encode(errors="surrogateescape")
    return struct.pack(">I", len(encoded)) + encoded
