"""The way over one SSH connection: libvirt through a forwarded private socket, commands beside it."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mclu_shell.cloud.transport.base import Transport
from mclu_shell.cloud.transport.dial import dial
from mclu_shell.cloud.transport.forward import Address, ByteStream, Forward
from mclu_shell.cloud.transport.keepalive import KeepaliveResponder, LastHeard
from mclu_shell.cloud.transport.libvirt_socket import branch, forwarded_uri, open_libvirt_socket
from mclu_shell.cloud.transport.openssh.config import SSHConfig, Target
from mclu_shell.cloud.transport.process import Completed, Process
from mclu_shell.cloud.transport.wake_on_lan import MagicPacket, magic_packet, send_magic_packet
from mclu_shell.config import NodeConfig
from mclu_shell.errors import ConnectionLost, LibvirtDown, NodeFault, NodeOff, SSHFault, Unreachable

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.ssh.client import SSHConnection

_log = logging.getLogger(__name__)

# sudo is needed only by a user who is not root; a non-interactive shell may have no sbin in its PATH.
_POWER_OFF = 'PATH=$PATH:/usr/sbin:/sbin; if [ "$(id -u)" = 0 ]; then poweroff; else sudo -n poweroff; fi'
# Only looks whether that can be done.
_CAN_POWER_OFF = """
PATH=$PATH:/usr/sbin:/sbin
command -v poweroff >/dev/null || { echo "there is no poweroff"; exit 1; }
[ "$(id -u)" = 0 ] || sudo -n -l poweroff
"""
_POWER_OFF_TIMEOUT_S = 20.0


class SSHTransport(Transport):
    """Over one SSH connection: libvirt through a forwarded private socket, commands beside it."""

    modules: tuple[str, ...] = ("mclu_shell.cloud.transport.ssh.client",)

    def __init__(self, node: NodeConfig, socket_path: Path, ssh_config: SSHConfig) -> None:
        self.node = node
        self._ssh_config = ssh_config
        self._socket_path = socket_path
        self._link: SSHConnection | None = None
        self._forward: Forward | None = None
        self._ready: ByteStream | None = None
        self._remote_path = ""
        self._ear = LastHeard()

    def open(self, deadline: float) -> str:
        """Dial and log in, unless we are; find libvirt's socket and forward it."""
        if not self.responds(self.node.connect_timeout):
            self.close()
            self._link = self._login(deadline)
        assert self._link is not None
        try:
            self._forget_ready()
            self._remote_path, self._ready = open_libvirt_socket(self._link, deadline)
        except LibvirtDown:
            raise
        except NodeFault:
            # What a person mends there, sshd looks at when we log in.
            self.close()
            raise
        self._forward = self._forward or self._forwarded()
        return forwarded_uri(self.node.uri, self._socket_path)

    def _forwarded(self) -> Forward:
        try:
            return Forward(self._socket_path, self._answering)
        except OSError as error:
            told = f"no socket can be made in {self._socket_path.parent}: {error.strerror}"
            raise NodeFault(told, place=self.node.name, remedy="leave mclu, and start it again") from error

    def _forget_ready(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.close()

    @property
    def heard_at(self) -> float:
        """When libvirtd last said something (of time.monotonic), on whichever connection through the socket."""
        return self._ear.heard_at

    def _answering(self) -> ByteStream:
        return KeepaliveResponder(self._channel(), self._ear)

    def _target(self) -> Target:
        return self._ssh_config.resolve(self.node)

    def _login(self, deadline: float) -> "SSHConnection":
        target = self._target()
        started = time.perf_counter()
        sock = dial(target, self.node.connect_timeout)
        _log.debug("%s: connect: %.1f ms", self.node.name, (time.perf_counter() - started) * 1000)
        # paramiko takes a quarter of a second to import; for a cloud whose nodes are all off it is not needed.
        from mclu_shell.cloud.transport.ssh.client import SSHConnection

        return SSHConnection(target, sock, deadline)

    def _channel(self) -> ByteStream:
        """What a new local connection is carried to; the first takes the channel that found libvirt."""
        ready, self._ready = self._ready, None
        if ready is not None:
            return ready
        link = self._link
        channel = link.open_socket(self._remote_path, self.node.answer_timeout) if link is not None else None
        if channel is None:
            raise ConnectionRefusedError
        return channel

    def responds(self, timeout_s: float) -> bool:
        """Whether sshd answers on the open connection."""
        return self._link is not None and self._link.is_alive and self._link.responds(timeout_s)

    def cut(self) -> None:
        """End what libvirt waits for; the SSH connection stays."""
        # Another thread may be closing it.
        forward = self._forward
        if forward is not None:
            forward.cut()

    def release(self, timeout_s: float) -> None:
        """End libvirt's connections; the SSH connection stays if sshd answers on it."""
        self.cut()
        if not self.responds(timeout_s):
            self.close()

    def close(self) -> None:
        """End the SSH connection and remove the socket."""
        forward, self._forward = self._forward, None
        if forward is not None:
            forward.close()
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def is_off(self, timeout_s: float) -> bool:
        """Whether nothing answers, not even with a refusal; Unreachable if there is no way to know."""
        try:
            dial(self._target(), timeout_s).close()
        except NodeOff:
            return True
        except Unreachable:
            raise
        except NodeFault:
            return False
        return False

    def packet(self) -> MagicPacket:
        """The magic packet."""
        return magic_packet(self.node)

    def wake(self) -> None:
        """Send the magic packet."""
        send_magic_packet(self.node)

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command on the node."""
        return self._opened().run(argv, timeout_s)

    def start(self, argv: Sequence[str]) -> Process:
        """Start a command on the node."""
        return self._opened().start(argv)

    def branch(self) -> tuple[str, Forward | None]:
        """One more forwarded socket."""
        return branch(self.node.uri, self._socket_path, self._channel)

    def connect(self, address: Address) -> ByteStream:
        """A channel to a socket or port of the node."""
        link, timeout_s = self._opened(), self.node.answer_timeout
        channel = (
            link.open_socket(address, timeout_s) if isinstance(address, str) else link.open_port(address, timeout_s)
        )
        if channel is None:
            raise ConnectionRefusedError
        return channel

    def _opened(self) -> "SSHConnection":
        if self._link is None:
            raise ConnectionLost("the connection was lost", place=self.node.name)
        return self._link

    def require_power_off(self) -> None:
        """Whether the user there is root, or sudo would run poweroff without a password."""
        done = self._opened().run(["sh", "-c", _CAN_POWER_OFF], _POWER_OFF_TIMEOUT_S)
        if done.status != 0:
            raise self._not_powered_off(done)

    def power_off(self) -> None:
        """Run poweroff on the node, with sudo if the user is not root."""
        link = self._link or self._login(time.monotonic() + self.node.answer_timeout)
        self._link = link
        done = link.run(["sh", "-c", _POWER_OFF], _POWER_OFF_TIMEOUT_S)
        # -1: the node went down before sshd could tell.
        if done.status not in (0, -1):
            raise self._not_powered_off(done)

    def _not_powered_off(self, done: Completed) -> SSHFault:
        said = (done.err or done.out).strip().splitlines()
        reason = said[-1] if said else f"exit status {done.status}"
        return SSHFault(f"poweroff failed: {reason}", place=self.node.name)
