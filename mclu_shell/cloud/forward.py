"""A private unix socket on this machine whose connections are carried to a node's libvirtd."""

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mclu_shell.errors import NodeFault

_CHUNK = 65536


class Duplex(Protocol):
    """What can be carried to: a socket, or a channel of an SSH connection."""

    def recv(self, size: int, /) -> bytes:
        """Some bytes; empty at the end."""

    def sendall(self, data: bytes, /) -> None:
        """All of the bytes, or an OSError."""

    def close(self) -> None:
        """End both directions."""


class Forward:
    """Listens on `path`; each connection there is carried to what `connect` opens.

    `cut` ends every connection from our end, which ends a call of libvirt's that is blocked on it at once.
    """

    def __init__(self, path: Path, connect: Callable[[], Duplex]) -> None:
        self.path = path
        self._connect = connect
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._is_closed = False
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(16)
        threading.Thread(target=self._accept, name=f"forward {path.name}", daemon=True).start()

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
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                end, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(end,), daemon=True).start()

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


def _pump(receive: Callable[[int], bytes], send: Callable[[bytes], object], far: Duplex, end: socket.socket) -> None:
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
