"""The transport over one SSH connection."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mclu_shell.cloud.transport.base import PowerControl, Transport
from mclu_shell.cloud.transport.forward import Address, ByteStream, Forward
from mclu_shell.cloud.transport.keepalive import KeepaliveResponder, LastMessage
from mclu_shell.cloud.transport.libvirt_socket import branch, forwarded_uri, open_libvirt_socket
from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.process import Completed, Process
from mclu_shell.cloud.transport.ssh.connection import SSHConnection
from mclu_shell.cloud.transport.ssh.login import SSHLogin
from mclu_shell.cloud.transport.ssh.power import SSHPowerControl
from mclu_shell.config import NodeConfig
from mclu_shell.errors import ConnectionLost, LibvirtDown, NodeFault

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.openssh.login import Asker


class SSHTransport(Transport):
    """A transport over one SSH connection: libvirt through a forwarded private socket, commands over channels."""

    def __init__(self, node: NodeConfig, socket_path: Path, login: SSHLogin) -> None:
        self.node = node
        self._ssh_login = login
        self._socket_path = socket_path
        self._connection: SSHConnection | None = None
        self._forward: Forward | None = None
        self._first_channel: ByteStream | None = None
        self._remote_path = ""
        self._last_message = LastMessage()

    @property
    def modules(self) -> tuple[str, ...]:
        """The module of the login that comes first; that of paramiko needs 60 ms of processor time."""
        module = "openssh.login" if self.node.via == "openssh" else "paramiko_ssh.client"
        return (f"mclu_shell.cloud.transport.{module}",)

    @property
    def last_message_at(self) -> float:
        """The time (of `time.monotonic`) of libvirtd's last message, on any connection through the socket."""
        return self._last_message.at

    @property
    def power(self) -> PowerControl:
        """Wake-on-LAN, and poweroff over this connection or a new one."""
        return SSHPowerControl(self.node, self._target, self._log_in_and_run)

    def open(self, deadline: float, /) -> str:
        """Log in if the connection does not respond; find libvirt's socket and forward it."""
        if not self.responds(self.node.connect_timeout):
            self.close()
            self._connection = self._login(deadline)
        assert self._connection is not None
        try:
            self._close_first_channel()
            self._remote_path, self._first_channel = open_libvirt_socket(self._connection, deadline)
        except LibvirtDown:
            raise
        except NodeFault:
            # After the user's repair (a group, sshd_config), only a new login has the new rights.
            self.close()
            raise
        self._forward = self._forward or self._make_forward()
        return forwarded_uri(self.node.uri, self._socket_path)

    def _make_forward(self) -> Forward:
        try:
            return Forward(self._socket_path, self._connect_libvirt)
        except OSError as error:
            message = f"cannot create a socket in {self._socket_path.parent}: {error.strerror}"
            raise NodeFault(message, place=self.node.name, remedy="restart mclu") from error

    def _close_first_channel(self) -> None:
        channel, self._first_channel = self._first_channel, None
        if channel is not None:
            channel.close()

    def _connect_libvirt(self) -> ByteStream:
        return KeepaliveResponder(self._channel(), self._last_message)

    def _target(self) -> Target:
        return self._ssh_login.config.resolve(self.node)

    @property
    def _control(self) -> Path:
        return self._socket_path.with_suffix(".ctl")

    def _login(self, deadline: float) -> SSHConnection:
        return self._ssh_login.log_in(self.node, self._control, deadline)

    def log_in(self, asker: "Asker", /) -> None:
        """Log in, and ask what ssh asks; the next `open` uses the connection."""
        self.close()
        self._connection = self._ssh_login.log_in_with_prompts(self.node, self._control, asker)

    def _log_in_and_run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command without libvirt; log in if there is no connection."""
        connection = self._connection or self._login(time.monotonic() + self.node.answer_timeout)
        self._connection = connection
        return connection.run(argv, timeout_s)

    def _channel(self) -> ByteStream:
        """Open a channel to libvirt; the first connection gets the channel that found its socket."""
        channel, self._first_channel = self._first_channel, None
        if channel is not None:
            return channel
        connection = self._connection
        if connection is None:
            raise ConnectionRefusedError
        return self._open_channel(connection, self._remote_path)

    def _open_channel(self, connection: SSHConnection, address: Address) -> ByteStream:
        channel = connection.open_channel(address, self.node.answer_timeout)
        if channel is None:
            raise ConnectionRefusedError
        return channel

    def responds(self, timeout_s: float, /) -> bool:
        """Return whether sshd answers on the open connection."""
        return self._connection is not None and self._connection.is_alive and self._connection.responds(timeout_s)

    def cut(self) -> None:
        """End libvirt's connections; the SSH connection stays."""
        # Another thread may close the forward at the same time.
        forward = self._forward
        if forward is not None:
            forward.cut()

    def release(self, timeout_s: float, /) -> None:
        """End libvirt's connections; close the SSH connection if sshd does not answer on it."""
        self.cut()
        if not self.responds(timeout_s):
            self.close()

    def close(self) -> None:
        """Close the SSH connection and remove the socket."""
        forward, self._forward = self._forward, None
        if forward is not None:
            forward.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command on the node."""
        return self._opened().run(argv, timeout_s)

    def start(self, argv: Sequence[str]) -> Process:
        """Start a command on the node."""
        return self._opened().start(argv)

    def branch(self) -> tuple[str, Forward | None]:
        """Forward one more socket."""
        return branch(self.node.uri, self._socket_path, self._channel)

    def connect(self, address: Address) -> ByteStream:
        """Open a channel to a socket or port of the node."""
        return self._open_channel(self._opened(), address)

    def _opened(self) -> SSHConnection:
        if self._connection is None:
            raise ConnectionLost("the connection was lost", place=self.node.name)
        return self._connection
