"""libvirt's keep-alive messages, answered on the way (libvirt's virkeepaliveprotocol.x and internals/rpc.html).

A libvirtd that knows of a client with an event loop sends one every five seconds. Carried on, each would wake four
threads here; with sixty nodes that alone would be one per cent of a processor. And it tells that both the way and
libvirtd are as they should be.
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
    """A way to libvirtd that answers its pings itself."""

    def __init__(self, far: ByteStream, last_message: LastMessage) -> None:
        self._far = far
        self._last_message = last_message
        self._sending = threading.Lock()

    def recv(self, size: int, /) -> bytes:
        """Some bytes that are no ping; empty at the end."""
        while True:
            data = self._far.recv(size)
            if data:
                self._last_message.note()
            # It comes alone: nothing else is said while libvirtd has nothing to say.
            if data != PING:
                return data
            self.sendall(PONG)

    def sendall(self, data: bytes, /) -> None:
        """All of the bytes, or an OSError."""
        # An answer to a ping must not come between the parts of what libvirt sends.
        with self._sending:
            self._far.sendall(data)

    def close(self) -> None:
        """End both directions."""
        self._far.close()
