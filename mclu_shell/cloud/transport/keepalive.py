"""Replies to libvirt's keep-alive messages within a forward (libvirt's virkeepaliveprotocol.x, internals/rpc.html).

libvirtd sends a ping every five seconds to a client with an event loop. Each ping that reached libvirt would wake four
threads here, which costs one per cent of a processor with sixty nodes. A ping also shows that the connection and
libvirtd work.
"""

import math
import struct
import threading
import time

from mclu_shell.cloud.transport.forward import ByteStream

_PROGRAM, _VERSION, _PING, _PONG, _MESSAGE = 0x6B656570, 1, 1, 2, 2


def _message(procedure: int) -> bytes:
    # Length, program, version, procedure, type, serial number, status.
    return struct.pack(">7I", 28, _PROGRAM, _VERSION, procedure, _MESSAGE, 0, 0)


PING, PONG = _message(_PING), _message(_PONG)


class LastMessage:
    """The time `at` (of `time.monotonic`) of a libvirtd's last message, over any connection to it."""

    at = -math.inf

    def note(self) -> None:
        """Record that a message came now."""
        self.at = time.monotonic()


class KeepaliveResponder:
    """A stream to libvirtd that answers the pings itself."""

    def __init__(self, far: ByteStream, last_message: LastMessage) -> None:
        self._far = far
        self._last_message = last_message
        self._send_lock = threading.Lock()

    def recv(self, size: int, /) -> bytes:
        """Receive bytes other than a ping; return none at the end."""
        while True:
            data = self._far.recv(size)
            if data:
                self._last_message.note()
            # A ping arrives alone: libvirtd sends it only when it has nothing else to send.
            if data != PING:
                return data
            self.sendall(PONG)

    def sendall(self, data: bytes, /) -> None:
        """Send all of the bytes, or raise OSError."""
        # A reply to a ping must not split a message of libvirt's.
        with self._send_lock:
            self._far.sendall(data)

    def close(self) -> None:
        """Close both directions."""
        self._far.close()
