"""A connection to a node's sshd, or the plain fact that the node is off. No SSH here yet: only TCP."""

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

# Linux sends a lost SYN again after a second, which is longer than a node may stay silent (0.8 s): so several
# attempts are made, and one lost packet does not make a node look off.
_ATTEMPTS = 3
# For the jump host's own login and its connection to the node, which cannot be told apart from here.
_PROXY_TIMEOUT_S = 4.0
NO_SSHD = "the machine is on: is sshd running there? at its console: systemctl start sshd"
SSHD_HANGS = "the machine is on, but hangs: look at its console, or reset it"
_NO_HOST = (errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT)


def dial(target: Target, timeout_s: float) -> socket.socket:
    """Connect to sshd within `timeout_s`; NodeOff when nothing answers, SSHDown when it refuses."""
    if target.proxy:
        return _through_proxy(target)
    addresses = _addresses(target)
    with contextlib.ExitStack() as stack:
        attempts = _Attempts(target, addresses, timeout_s, stack)
        connected = attempts.first_connected()
    connected.setblocking(True)
    # Libvirt asks small questions one after another: waiting to fill a packet would cost 40 ms each.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _keep_watch(connected)
    return _Acknowledging(fileno=connected.detach())


def _keep_watch(connected: socket.socket) -> None:
    """Have the kernel end the connection when the other machine is gone without a word (tcp(7))."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 2), (socket.TCP_KEEPCNT, 3)):
        connected.setsockopt(socket.IPPROTO_TCP, option, value)


class _Acknowledging(socket.socket):
    """A connection that acknowledges at once what it receives.

    sshd sends nothing more while something small is on its way unacknowledged (Nagle's algorithm), and the kernel
    waits 40 ms for something of ours to send along with an acknowledgement.
    """

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


_Address = tuple[int, tuple[Any, ...]]


def _addresses(target: Target) -> list[_Address]:
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no host name"
        raise Unreachable(
            f"no address for {target.host!r} ({reason})",
            place=target.node,
            remedy="set address= in mclu.conf, or HostName in ~/.ssh/config",
        ) from error
    return [(family, address) for family, _, _, _, address in found]


class _Attempts:
    """Attempts to connect, begun one after another and awaited together."""

    def __init__(
        self, target: Target, addresses: list[_Address], timeout_s: float, stack: contextlib.ExitStack
    ) -> None:
        self.target, self.addresses = target, addresses
        self.started = time.monotonic()
        self.timeout_s = timeout_s
        self.made = 0
        self.total = max(_ATTEMPTS, len(addresses))
        self.refused: set[_Address] = set()
        self.selector = selectors.DefaultSelector()
        stack.callback(self._close)

    def first_connected(self) -> socket.socket:
        """The first socket that connects; the others are closed."""
        while (left := self.started + self.timeout_s - time.monotonic()) > 0:
            if self.made < self.total and time.monotonic() >= self._due():
                self._begin()
                continue
            if self.made == self.total and not self.selector.get_map():
                break
            until_next = self._due() - time.monotonic() if self.made < self.total else left
            for key, _ in self.selector.select(max(0.0, min(left, until_next))):
                if (connected := self._ended(key)) is not None:
                    return connected
        raise NodeOff(self.target.node)

    def _due(self) -> float:
        return self.started + self.made * self.timeout_s / self.total

    def _begin(self) -> None:
        family, address = chosen = self.addresses[self.made % len(self.addresses)]
        self.made += 1
        attempt = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self.selector.register(attempt, selectors.EVENT_WRITE, chosen)
        code = attempt.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            self._drop(attempt)
            self._note(code, chosen)

    def _ended(self, key: selectors.SelectorKey) -> socket.socket | None:
        attempt = key.fileobj
        assert isinstance(attempt, socket.socket)
        code = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            self.selector.unregister(attempt)
            return attempt
        self._drop(attempt)
        self._note(code, key.data)
        return None

    def _note(self, code: int, address: _Address) -> None:
        """Raise what is certain; go on where another attempt may still succeed."""
        if code == errno.ECONNREFUSED:
            self.refused.add(address)
            if self.refused == set(self.addresses):
                raise SSHDown(
                    f"ssh: connection refused on port {self.target.port}",
                    place=self.target.node,
                    remedy=NO_SSHD,
                )
        elif code not in _NO_HOST and len(self.addresses) == 1:
            raise Unreachable(os.strerror(code).lower(), place=self.target.node, remedy="is this machine's network up?")

    def _drop(self, attempt: socket.socket) -> None:
        self.selector.unregister(attempt)
        attempt.close()

    def _close(self) -> None:
        for key in list((self.selector.get_map() or {}).values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self.selector.close()


def _through_proxy(target: Target) -> socket.socket:
    """Start the proxy command on one end of a socket pair; wait for sshd's banner at the other."""
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as said:
        # A session of its own: it must not read our terminal, nor be ended by the user's Ctrl-C at the prompt.
        command = ["/bin/sh", "-c", target.proxy]
        # Without our copy of its end, the end of a proxy that gives up is seen at once.
        with theirs:
            end = theirs.fileno()
            proxy = subprocess.Popen(command, stdin=end, stdout=end, stderr=said, start_new_session=True)
        if not _greets(ours, proxy):
            said.seek(0)
            raise _proxy_fault(target, said.read().decode(errors="replace"))
    return ours


def _greets(ours: socket.socket, proxy: subprocess.Popen[bytes]) -> bool:
    """Whether sshd says something through the proxy in time; if not, both are ended."""
    ours.settimeout(_PROXY_TIMEOUT_S)
    try:
        banner = ours.recv(1, socket.MSG_PEEK)
    except OSError:
        banner = b""
    if banner:
        ours.settimeout(None)
    else:
        ours.close()
        # With all that it started: they share its session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(proxy.pid, signal.SIGTERM)
    return bool(banner)


def _proxy_fault(target: Target, said: str) -> NodeFault:
    """What the jump host's ssh told of the node: off only if it let us in and could then not reach the node."""
    # The second of each pair is what ssh says where an open connection of the user's is shared (ControlMaster).
    at_jump = "Authenticated to" in said or "hello_exchange: master version" in said
    connected = "open confirm" in said or "stdio_fwd: master session id" in said
    silent = any(sign in said for sign in ("No route to host", "timed out", "Host is unreachable"))
    if at_jump and connected:
        return SSHDown("ssh: not answering", place=target.node, remedy=SSHD_HANGS)
    if at_jump and "connect failed: Connection refused" in said:
        return SSHDown(f"ssh: connection refused on port {target.port}", place=target.node, remedy=NO_SSHD)
    if at_jump and (silent or "open failed" not in said):
        return NodeOff(target.node)
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("debug")]
    through = f"through {target.jump}" if target.jump else "through ProxyCommand"
    reason = lines[-1].rstrip(".") if lines else f"no answer in {_PROXY_TIMEOUT_S:g} s"
    return Unreachable(f"no way {through}: {reason}", place=target.node, remedy=f"see what {target.login} says")
