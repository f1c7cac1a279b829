"""A connection to a node's sshd, or the plain fact that the node is off. No SSH here yet: only TCP."""

import contextlib
import errno
import os
import selectors
import socket
import subprocess
import tempfile
import time
from typing import Any

from mclu_shell.cloud.sshconfig import Target
from mclu_shell.errors import NodeOff, SSHSilent, Unreachable

# Linux sends a lost SYN again after a second, which is longer than a node may stay silent (0.8 s): so several
# attempts are made, and one lost packet does not make a node look off.
_ATTEMPTS = 3
# For the jump host's own login and its connection to the node, which cannot be told apart from here.
_PROXY_TIMEOUT_S = 4.0
_NO_HOST = (errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT)


def dial(target: Target, timeout_s: float) -> socket.socket:
    """Connect to sshd within `timeout_s`; NodeOff when nothing answers, SSHSilent when it refuses."""
    if target.proxy:
        return _through_proxy(target)
    addresses = _addresses(target)
    with contextlib.ExitStack() as stack:
        attempts = _Attempts(target, addresses, timeout_s, stack)
        connected = attempts.first_connected()
    connected.setblocking(True)
    # Libvirt asks small questions one after another: waiting to fill a packet would cost 40 ms each.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


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
                raise SSHSilent(
                    f"ssh: connection refused on port {self.target.port}",
                    place=self.target.node,
                    remedy="the machine is on: is sshd running there?",
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
    with theirs, tempfile.TemporaryFile() as said:
        # A session of its own: it must not read our terminal, nor be ended by the user's Ctrl-C at the prompt.
        command = ["/bin/sh", "-c", target.proxy]
        end = theirs.fileno()
        proxy = subprocess.Popen(command, stdin=end, stdout=end, stderr=said, start_new_session=True)
        ours.settimeout(_PROXY_TIMEOUT_S)
        try:
            banner = ours.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            banner = b""
        if not banner:
            ours.close()
            proxy.terminate()
            said.seek(0)
            raise _proxy_fault(target, said.read().decode(errors="replace"))
    ours.settimeout(None)
    return ours


def _proxy_fault(target: Target, said: str) -> NodeOff | Unreachable:
    """Off only if the jump host itself let us in and then could not reach the node."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    silent = any(sign in said for sign in ("No route to host", "timed out", "Host is unreachable"))
    if "Authenticated to" in said and (silent or "open failed" not in said):
        return NodeOff(target.node)
    through = f"through {target.jump}" if target.jump else "through ProxyCommand"
    reason = f": {lines[-1]}" if lines else ""
    return Unreachable(f"no way {through}{reason}", place=target.node, remedy=f"see what 'ssh {target.login}' says")
