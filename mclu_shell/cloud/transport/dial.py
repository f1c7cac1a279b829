"""TCP connections to sshd, and the check whether a node is off."""

import contextlib
import errno
import os
import selectors
import socket
import time
from typing import Any

from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.openssh.proxy import connect_through_proxy
from mclu_shell.cloud.transport.ssh.faults import connection_refused
from mclu_shell.errors import NodeOff, Unreachable

# Linux sends a lost SYN again after one second, which is longer than connect_timeout (0.8 s). With several attempts,
# one lost packet does not make a node look off.
_ATTEMPTS = 3
_NO_HOST = (errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT)


def dial(target: Target, timeout_s: float) -> socket.socket:
    """Connect to sshd within `timeout_s`; NodeOff if nothing answers, SSHDown if the connection is refused."""
    if target.proxy:
        return connect_through_proxy(target)
    addresses = _addresses(target)
    with contextlib.ExitStack() as stack:
        attempts = _Attempts(target, addresses, timeout_s, stack)
        connected = attempts.first_connected()
    connected.setblocking(True)
    # libvirt sends small calls one after another; Nagle's algorithm would delay each of them by 40 ms.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _enable_keepalive(connected)
    return _Acknowledging(fileno=connected.detach())


def _enable_keepalive(connected: socket.socket) -> None:
    """Make the kernel end the connection when the other machine stops responding (tcp(7))."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3)):
        connected.setsockopt(socket.IPPROTO_TCP, option, value)


class _Acknowledging(socket.socket):
    """A connection that acknowledges received data at once.

    sshd sends no more data while a small packet is unacknowledged (Nagle's algorithm), and the kernel delays an
    acknowledgement by 40 ms to send data along with it.
    """

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


_Address = tuple[int, tuple[Any, ...]]


def _addresses(target: Target) -> list[_Address]:
    try:
        infos = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        raise Unreachable(
            f"cannot resolve {target.host!r} ({reason})",
            place=target.node,
            remedy="set address= in mclu.conf, or HostName in ~/.ssh/config",
        ) from error
    return [(family, address) for family, _, _, _, address in infos]


class _Attempts:
    """Attempts to connect, started one after another, which run at the same time."""

    def __init__(
        self, target: Target, addresses: list[_Address], timeout_s: float, stack: contextlib.ExitStack
    ) -> None:
        self.target, self.addresses = target, addresses
        self.started_at = time.monotonic()
        self.timeout_s = timeout_s
        self.started_count = 0
        self.total = max(_ATTEMPTS, len(addresses))
        self.refused: set[_Address] = set()
        self.selector = selectors.DefaultSelector()
        stack.callback(self._close)

    def first_connected(self) -> socket.socket:
        """Return the first socket that connects; close the others."""
        while (left_s := self.started_at + self.timeout_s - time.monotonic()) > 0:
            if self.started_count < self.total and time.monotonic() >= self._due():
                self._start()
                continue
            if self.started_count == self.total and not self.selector.get_map():
                break
            until_next_s = self._due() - time.monotonic() if self.started_count < self.total else left_s
            for key, _ in self.selector.select(max(0.0, min(left_s, until_next_s))):
                if (connected := self._result(key)) is not None:
                    return connected
        raise NodeOff(self.target.node)

    def _due(self) -> float:
        return self.started_at + self.started_count * self.timeout_s / self.total

    def _start(self) -> None:
        family, address = target = self.addresses[self.started_count % len(self.addresses)]
        self.started_count += 1
        attempt = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self.selector.register(attempt, selectors.EVENT_WRITE, target)
        code = attempt.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            self._drop(attempt)
            self._check(code, target)

    def _result(self, key: selectors.SelectorKey) -> socket.socket | None:
        attempt = key.fileobj
        assert isinstance(attempt, socket.socket)
        code = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            self.selector.unregister(attempt)
            return attempt
        self._drop(attempt)
        self._check(code, key.data)
        return None

    def _check(self, code: int, address: _Address) -> None:
        """Raise the error of a failed attempt if no other attempt can succeed."""
        if code == errno.ECONNREFUSED:
            self.refused.add(address)
            if self.refused == set(self.addresses):
                raise connection_refused(self.target)
        elif code not in _NO_HOST and len(self.addresses) == 1:
            raise Unreachable(os.strerror(code).lower(), place=self.target.node, remedy="check this machine's network")

    def _drop(self, attempt: socket.socket) -> None:
        self.selector.unregister(attempt)
        attempt.close()

    def _close(self) -> None:
        for key in list((self.selector.get_map() or {}).values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self.selector.close()
