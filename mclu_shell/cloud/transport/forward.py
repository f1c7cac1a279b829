"""Private sockets of this machine whose connections are forwarded to a node's libvirtd or ports."""

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

from mclu_shell.cloud.transport.accept import connections
from mclu_shell.errors import NodeFault
from mclu_shell.files.private import private_listener
from mclu_shell.system_faults import log_error

_CHUNK = 65536
_LOOPBACK = "127.0.0.1"
# The state of an established connection, in /proc/net/tcp and in TCP_INFO (tcp(7)).
_ESTABLISHED = 1
# The address of a listening socket on a machine: a path, or a host and port as the machine sees them.
Address: TypeAlias = str | tuple[str, int]


class ByteStream(Protocol):
    """The far end of a forwarded connection: a socket, or a channel of an SSH connection."""

    def recv(self, size: int, /) -> bytes:
        """Receive up to `size` bytes; return none at the end."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of the bytes, or raise OSError."""

    def close(self) -> None:
        """Close both directions."""


class _SocketForwarder:
    """A forwarder of each connection to `listener` to a stream that `connect` opens.

    `cut` ends every connection from this end, so that a libvirt call that is blocked on one ends at once.
    """

    def __init__(self, listener: socket.socket, connect: Callable[[], ByteStream]) -> None:
        self._connect = connect
        # A limit for what the far end sends, for new connections.
        self.bytes_per_s: float | None = None
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._is_closed = False
        self._listener = listener
        threading.Thread(target=self._accept, name=f"forward {listener.getsockname()}", daemon=True).start()

    def cut(self) -> None:
        """End all connections; accept new ones."""
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening and end all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            self._is_closed = True
        self.cut()

    def _accept(self) -> None:
        for end in connections(self._listener):
            if not self._is_allowed(end):
                end.close()
                continue
            threading.Thread(target=self._forward, args=(end,), daemon=True).start()

    def _is_allowed(self, _end: socket.socket, /) -> bool:
        """Return whether the client of a connection may use the forward."""
        return True

    def _forward(self, end: socket.socket) -> None:
        """Forward one connection in both directions until either side closes it."""
        with self._lock:
            if self._is_closed:
                end.close()
                return
            self._ends.add(end)
        try:
            far = self._connect()
        except Exception as error:  # noqa: BLE001
            # After any failure, the client reads the end of its connection.
            if not isinstance(error, OSError | EOFError | NodeFault):
                log_error("forward", error)
            self._forget(end)
            return
        receive = far.recv if self.bytes_per_s is None else partial(_receive_slowly, far, self.bytes_per_s)
        backward = threading.Thread(target=_pump, args=(receive, end.sendall, far, end), daemon=True)
        backward.start()
        _pump(end.recv, far.sendall, far, end)
        backward.join()
        self._forget(end)

    def _forget(self, end: socket.socket) -> None:
        with self._lock:
            self._ends.discard(end)
        end.close()


class Forward(_SocketForwarder):
    """A forward from the unix socket `path`, to which only its owner can connect."""

    def __init__(self, path: Path, connect: Callable[[], ByteStream]) -> None:
        self.path = path
        super().__init__(private_listener(path), connect)

    def close(self) -> None:
        """End all connections, stop listening and remove the socket."""
        super().close()
        self.path.unlink(missing_ok=True)


class PortForward(_SocketForwarder):
    """A forward from a TCP port, for programs without unix sockets; only connections of the same user are admitted."""

    def __init__(self, connect: Callable[[], ByteStream]) -> None:
        listener = socket.create_server((_LOOPBACK, 0), backlog=16)
        self.address: tuple[str, int] = listener.getsockname()
        # Set when the first client is accepted.
        self.was_used = threading.Event()
        super().__init__(listener, connect)

    def _is_allowed(self, end: socket.socket, /) -> bool:
        # The order matters: while this end is established, no other client can have got the client's port.
        with contextlib.suppress(OSError):
            if _owner(end.getpeername(), self.address) == os.getuid() and _is_established(end):
                self.was_used.set()
                return True
        return False


def _owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Return the user ID of a connection's client on this machine (proc(5), /proc/net/tcp); None if unknown.

    When a program has closed its end, the kernel shows the user ID 0 and no inode: its owner is unknown.
    """
    addresses = [_in_proc(client), _in_proc(server)]
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123
        for line in table:
            fields = line.split()
            if fields[1:3] == addresses:
                is_open = int(fields[3], 16) == _ESTABLISHED and fields[9] != "0"
                return int(fields[7]) if is_open else None
    return None


def _is_established(end: socket.socket) -> bool:
    # The first byte of struct tcp_info is the state.
    return end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED


def _in_proc(address: tuple[str, int]) -> str:
    # The kernel prints the address as one number in host byte order.
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"


def _receive_slowly(far: ByteStream, bytes_per_s: float, size: int) -> bytes:
    data = far.recv(size)
    time.sleep(len(data) / bytes_per_s)
    return data


def _pump(
    receive: Callable[[int], bytes], send: Callable[[bytes], object], far: ByteStream, end: socket.socket
) -> None:
    """Forward one direction; at its end, close both: libvirt's protocol has no half-closed connections."""
    with contextlib.suppress(OSError, EOFError):
        while data := receive(_CHUNK):
            send(data)
    # The far end may already be closed.
    with contextlib.suppress(OSError, EOFError):
        if isinstance(far, socket.socket):
            # close() would not wake a thread that is receiving from the socket.
            far.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError, EOFError):
        far.close()
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
