"""The transport through an open shell of the same user: libvirt through the shell's forwarded socket.

For everything else, and if the shell's socket fails, a transport of this process takes its place. Its modules are
imported only then, because that takes longer than a query.
"""

import math
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mclu_shell.cloud.transport.base import LibvirtTransport, PowerControl, Transport
from mclu_shell.cloud.transport.libvirt_socket import branch, forwarded_uri
from mclu_shell.config import NodeConfig
from mclu_shell.errors import Question

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.forward import Forward
    from mclu_shell.cloud.transport.process import Completed

_ANSWER_TIMEOUT_S = 1.0


class SharedTransport(LibvirtTransport):
    """A transport to libvirt through the shell's socket `path`; `make_own` makes this process's own transport.

    `make_path` returns the path of this process's own socket, whose directory it creates on first use.
    """

    def __init__(
        self, node: NodeConfig, path: Path, make_path: Callable[[], Path], make_own: Callable[[], Transport]
    ) -> None:
        self.node = node
        self._path = path
        self._make_path = make_path
        # False once the shell's socket has failed or was cut.
        self.is_good = True
        self._make_own = make_own
        self._own: Transport | None = None
        self._is_own_open = False
        # Several threads may need the own transport at the same time.
        self._opening = threading.RLock()

    @property
    def answer_timeout_s(self) -> float:
        """A short timeout: the shell may not know yet that its connection is dead."""
        return _ANSWER_TIMEOUT_S if self.is_good else math.inf

    @property
    def power(self) -> PowerControl:
        """The power control of this process's own transport; it does not open the transport."""
        return self._unopened().power

    def open(self, deadline: float, /) -> str:
        """Return the URI of libvirt through the shell's socket, or through the own transport."""
        self.is_good = self.is_good and self._path.is_socket()
        return forwarded_uri(self.node.uri, self._path) if self.is_good else self._open_own(deadline)

    def _open_own(self, deadline: float) -> str:
        with self._opening:
            uri = self._unopened().open(deadline)
            self._is_own_open = True
        return uri

    def log_in(self, asker: Callable[[Question], str | None], /) -> None:
        """Log in with the own transport."""
        with self._opening:
            self._unopened().log_in(asker)

    def _unopened(self) -> Transport:
        """Return the own transport, open or not."""
        if self._own is None:
            self._own = self._make_own()
        return self._own

    def branch(self) -> "tuple[str, Forward | None]":
        """Forward one more socket to the shell's; the shell opens one more channel to libvirt for it."""
        if not self.is_good:
            return self.direct().branch()
        return branch(self.node.uri, self._make_path(), self._connect_shell)

    def _connect_shell(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        return connection

    def direct(self) -> Transport:
        """Return this process's own transport; open it first if needed."""
        with self._opening:
            if not self._is_own_open:
                self._open_own(time.monotonic() + self.node.answer_timeout)
            return self._unopened()

    def run_without_libvirt(self, argv: Sequence[str], timeout_s: float) -> "Completed":
        """Run a command with the own transport."""
        with self._opening:
            return self._unopened().run_without_libvirt(argv, timeout_s)

    def responds(self, timeout_s: float, /) -> bool:
        """Return whether the transport reaches the machine; the shell itself checks its connection."""
        return self._path.is_socket() if self.is_good else self._unopened().responds(timeout_s)

    def cut(self) -> None:
        """End libvirt's connections; do not use the shell's socket again, because the shell may hang."""
        if self.is_good:
            self.is_good = False
            cut_connections(self._path)
        elif self._own is not None:
            self._own.cut()

    def direct_responds(self, timeout_s: float, /) -> bool:
        """Return whether the own transport responds, once it is open."""
        return self._unopened().responds(timeout_s) if self._is_own_open else self.responds(timeout_s)

    def release(self, timeout_s: float, /) -> None:
        """Stop using the shell's socket, or release libvirt on the own transport."""
        if self.is_good:
            self.cut()
        elif self._own is not None:
            self._own.release(timeout_s)

    def close(self) -> None:
        """Close the own transport; do not use the shell's socket again."""
        self.is_good = self._is_own_open = False
        if self._own is not None:
            self._own.close()


def cut_connections(path: Path) -> None:
    """End this process's connections to a unix socket, including those of libraries."""
    numbers: list[str] = []
    with suppress(OSError):
        numbers = os.listdir("/proc/self/fd")  # noqa: PTH208 – read the list before opening files.
    for number in numbers:
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(number)).st_mode):
                with socket.socket(fileno=os.dup(int(number))) as connection:
                    if connection.family == socket.AF_UNIX and connection.getpeername() == str(path):
                        connection.shutdown(socket.SHUT_RDWR)
