"""TCP connections to sshd, directly or through a proxy command, and the check whether a node is off."""

import contextlib
import errno
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from typing import Any

from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.errors import NodeFault, NodeOff, SSHDown, Unreachable

# Linux sends a lost SYN again after one second, which is longer than connect_timeout (0.8 s). With several attempts,
# one lost packet does not make a node look off.
_ATTEMPTS = 3
# This covers the login at the jump host and its connection to the node, which mclu cannot time separately.
_PROXY_TIMEOUT_S = 4.0
NO_SSHD = "the machine is on; start sshd at its console: systemctl start sshd"
SSHD_HANGS = "the machine is on but hangs; check its console, or reset it"
_NO_HOST = (errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT)


def dial(target: Target, timeout_s: float) -> socket.socket:
    """Connect to sshd within `timeout_s`; NodeOff if nothing answers, SSHDown if the connection is refused."""
    if target.proxy:
        return _through_proxy(target)
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
                raise SSHDown(
                    f"ssh: connection refused on port {self.target.port}",
                    place=self.target.node,
                    remedy=NO_SSHD,
                )
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


def _through_proxy(target: Target) -> socket.socket:
    """Start the proxy command on one end of a socket pair; wait for sshd's banner on the other."""
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as messages:
        # In its own session, the proxy cannot read our terminal, and Ctrl-C at the prompt does not end it.
        command = ["/bin/sh", "-c", target.proxy]
        # With our copy of its end closed, `ours` reads the end of input as soon as the proxy exits.
        with theirs:
            end = theirs.fileno()
            proxy = subprocess.Popen(command, stdin=end, stdout=end, stderr=messages, start_new_session=True)
        if not _has_banner(ours, proxy):
            messages.seek(0)
            raise _proxy_fault(target, messages.read().decode(errors="replace"))
    return ours


def _has_banner(ours: socket.socket, proxy: subprocess.Popen[bytes]) -> bool:
    """Return whether sshd's banner arrives in time; if not, close the socket and end the proxy."""
    ours.settimeout(_PROXY_TIMEOUT_S)
    try:
        banner = ours.recv(1, socket.MSG_PEEK)
    except OSError:
        banner = b""
    if banner:
        ours.settimeout(None)
    else:
        ours.close()
        # Its child processes share its process group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(proxy.pid, signal.SIGTERM)
    return bool(banner)


def _proxy_fault(target: Target, messages: str) -> NodeFault:
    """Return the node's fault from the messages of the jump host's ssh.

    The node is off only if the login at the jump host succeeded and the jump host could not reach the node.
    """
    # ssh writes the second message of each pair if it shares an open connection (ControlMaster).
    at_jump = "Authenticated to" in messages or "hello_exchange: master version" in messages
    connected = "open confirm" in messages or "stdio_fwd: master session id" in messages
    silent = any(sign in messages for sign in ("No route to host", "timed out", "Host is unreachable"))
    if at_jump and connected:
        return SSHDown("ssh: not answering", place=target.node, remedy=SSHD_HANGS)
    if at_jump and "connect failed: Connection refused" in messages:
        return SSHDown(f"ssh: connection refused on port {target.port}", place=target.node, remedy=NO_SSHD)
    if at_jump and (silent or "open failed" not in messages):
        return NodeOff(target.node)
    lines = [line.strip() for line in messages.splitlines() if line.strip() and not line.startswith("debug")]
    through = f"through {target.jump}" if target.jump else "through ProxyCommand"
    reason = lines[-1].rstrip(".") if lines else f"no answer in {_PROXY_TIMEOUT_S:g} s"
    return Unreachable(
        f"cannot connect {through}: {reason}", place=target.node, remedy=f"run {target.login} to see why"
    )
