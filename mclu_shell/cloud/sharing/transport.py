"""The way over the connection of an open shell of the same user: to libvirt, as long as it is good for that.

For all else, and when it fails, a connection of our own takes its place. Until then nothing of what that needs is
imported: it takes longer than the question.
"""

import math
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mclu_shell.cloud.transport.base import LibvirtTransport, PowerControl, Transport
from mclu_shell.cloud.transport.libvirt_socket import forwarded_uri
from mclu_shell.config import NodeConfig

_PATIENCE_S = 1.0


class SharedTransport(LibvirtTransport):
    """A machine whose libvirt is reached through `path`; `make_own` makes the way of our own."""

    def __init__(self, node: NodeConfig, path: Path, make_own: Callable[[], Transport]) -> None:
        self.node = node
        self._path = path
        # Whether the other's connection is still believed in.
        self.is_good = True
        self._make_own = make_own
        self._own: Transport | None = None
        self._is_own_open = False
        # What is done there beside libvirt may be done by several threads.
        self._opening = threading.RLock()

    @property
    def answer_timeout_s(self) -> float:
        """The other shell's connection may be dead without its knowing yet."""
        return _PATIENCE_S if self.is_good else math.inf

    @property
    def power(self) -> PowerControl:
        """The power control of this process's own transport, which stays closed as it is."""
        return self._unopened().power

    def open(self, deadline: float, /) -> str:
        """The URI of libvirt through the other's socket, or through one of our own."""
        self.is_good = self.is_good and self._path.is_socket()
        return forwarded_uri(self.node.uri, self._path) if self.is_good else self._open_own(deadline)

    def _open_own(self, deadline: float) -> str:
        with self._opening:
            uri = self._unopened().open(deadline)
            self._is_own_open = True
        return uri

    def _unopened(self) -> Transport:
        """The way of our own, in whatever state."""
        if self._own is None:
            self._own = self._make_own()
        return self._own

    def direct(self) -> Transport:
        """Return this process's own transport; open it first if needed."""
        with self._opening:
            if not self._is_own_open:
                self._open_own(time.monotonic() + self.node.answer_timeout)
            return self._unopened()

    def responds(self, timeout_s: float, /) -> bool:
        """Whether the way still leads there; one that is not ours is looked after by whose it is."""
        return self._path.is_socket() if self.is_good else self._unopened().responds(timeout_s)

    def cut(self) -> None:
        """End libvirt's calls; and as whoever has the connection may be what hangs, it is not used again."""
        if self.is_good:
            self.is_good = False
            cut_connections(self._path)
        elif self._own is not None:
            self._own.cut()

    def direct_responds(self, timeout_s: float, /) -> bool:
        """Whether our own way still leads there, over which all goes beside libvirt."""
        return self._unopened().responds(timeout_s) if self._is_own_open else self.responds(timeout_s)

    def release(self, timeout_s: float, /) -> None:
        """Use the other's connection no more, or let go of libvirt on ours."""
        if self.is_good:
            self.cut()
        elif self._own is not None:
            self._own.release(timeout_s)

    def close(self) -> None:
        """Let go of it, for good."""
        self.is_good = self._is_own_open = False
        if self._own is not None:
            self._own.close()


def cut_connections(path: Path) -> None:
    """End this process's connections to a unix socket, also those that a library has made."""
    numbers: list[str] = []
    with suppress(OSError):
        numbers = os.listdir("/proc/self/fd")  # noqa: PTH208 – a list before anything is opened.
    for number in numbers:
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(number)).st_mode):
                with socket.socket(fileno=os.dup(int(number))) as connection:
                    if connection.family == socket.AF_UNIX and connection.getpeername() == str(path):
                        connection.shutdown(socket.SHUT_RDWR)
