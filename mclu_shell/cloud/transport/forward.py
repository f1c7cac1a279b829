"""A private socket on this machine whose connections are carried to a node: to its libvirtd, or to a port there."""

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

from mclu_shell.cloud.transport.accept import connections
from mclu_shell.errors import NodeFault

_CHUNK = 65536
_LOOPBACK = "127.0.0.1"
_ROOT = 0
# Where something listens on a machine: a path, or a host and port as seen from there.
Address: TypeAlias = str | tuple[str, int]


class ByteStream(Protocol):
    """What can be carried to: a socket, or a channel of an SSH connection."""

    def recv(self, size: int, /) -> bytes:
        """Some bytes; empty at the end."""

    def sendall(self, data: bytes, /) -> None:
        """All of the bytes, or an OSError."""

    def close(self) -> None:
        """End both directions."""


class _SocketForwarder:
    """Carries each connection that `listener` accepts to what `connect` opens.

    `cut` ends every connection from our end, which ends a call of libvirt's that is blocked on it at once.
    """

    def __init__(self, listener: socket.socket, connect: Callable[[], ByteStream]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._is_closed = False
        self._listener = listener
        threading.Thread(target=self._accept, name=f"forward {listener.getsockname()}", daemon=True).start()

    def cut(self) -> None:
        """End the connections that there are; new ones can be made."""
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all connections and stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            self._is_closed = True
        self.cut()

    def _accept(self) -> None:
        for end in connections(self._listener):
            if not self._admits(end):
                end.close()
                continue
            threading.Thread(target=self._carry, args=(end,), daemon=True).start()

    def _admits(self, end: socket.socket) -> bool:  # noqa: ARG002
        """Whether whoever has connected may do so."""
        return True

    def _carry(self, end: socket.socket) -> None:
        """Carry one connection both ways until either side ends it."""
        with self._lock:
            if self._is_closed:
                end.close()
                return
            self._ends.add(end)
        try:
            far = self._connect()
        except (OSError, EOFError, NodeFault):
            self._forget(end)
            return
        back = threading.Thread(target=_pump, args=(far.recv, end.sendall, far, end), daemon=True)
        back.start()
        _pump(end.recv, far.sendall, far, end)
        back.join()
        self._forget(end)

    def _forget(self, end: socket.socket) -> None:
        with self._lock:
            self._ends.discard(end)
        end.close()


class Forward(_SocketForwarder):
    """A unix socket, `path`, that its owner alone can connect to."""

    def __init__(self, path: Path, connect: Callable[[], ByteStream]) -> None:
        self.path = path
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(16)
        super().__init__(listener, connect)

    def close(self) -> None:
        """End all connections, stop listening and remove the socket."""
        super().close()
        self.path.unlink(missing_ok=True)


class PortForward(_SocketForwarder):
    """A port of this machine for programs that cannot connect to a unix socket; only our own user is let in."""

    def __init__(self, connect: Callable[[], ByteStream]) -> None:
        listener = socket.create_server((_LOOPBACK, 0), backlog=16)
        self.address: tuple[str, int] = listener.getsockname()
        # Set when somebody has been let in for the first time.
        self.was_used = threading.Event()
        super().__init__(listener, connect)

    def _admits(self, end: socket.socket) -> bool:
        is_ours = _owner(end.getpeername(), self.address) in (os.getuid(), _ROOT)
        if is_ours:
            self.was_used.set()
        return is_ours


def _owner(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """The user whose program holds the client's end of a connection on this machine (proc(5), /proc/net/tcp)."""
    wanted = [_in_proc(client), _in_proc(server)]
    with contextlib.suppress(OSError), open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123
        for line in table:
            fields = line.split()
            if fields[1:3] == wanted:
                return int(fields[7])
    return None


def _in_proc(address: tuple[str, int]) -> str:
    # The kernel prints the address as one number, in the order of this machine's bytes.
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"


def _pump(
    receive: Callable[[int], bytes], send: Callable[[bytes], object], far: ByteStream, end: socket.socket
) -> None:
    """Carry one way; when that way ends, end both: libvirt's protocol has no half-closed connections."""
    with contextlib.suppress(OSError, EOFError):
        while data := receive(_CHUNK):
            send(data)
    # Where the node is gone, or the program is ending, nobody is there to be told.
    with contextlib.suppress(OSError, EOFError):
        if isinstance(far, socket.socket):
            # Closing it would not wake the other thread, which may be receiving from it.
            far.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError, EOFError):
        far.close()
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
