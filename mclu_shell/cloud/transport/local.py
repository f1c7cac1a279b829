"""The transport to this machine (`via=local`)."""

import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path

from mclu_shell.cloud.transport.base import PowerControl, Transport
from mclu_shell.cloud.transport.forward import Address, ByteStream, Forward
from mclu_shell.cloud.transport.libvirt_socket import LIBVIRT_SOCKETS, branch, forwarded_uri
from mclu_shell.cloud.transport.process import Completed, LocalProcess, Process, run_here
from mclu_shell.cloud.transport.wake_on_lan import MagicPacket
from mclu_shell.config import NodeConfig
from mclu_shell.errors import LibvirtDown, LibvirtFault, NodeFault


class LocalTransport(Transport):
    """This machine, with its libvirt behind a forwarded socket, so that blocked calls can be cut."""

    def __init__(self, node: NodeConfig, socket_path: Path) -> None:
        self.node = node
        self._socket_path = socket_path
        self._forward: Forward | None = None
        self._remote_path = ""

    def open(self, _deadline: float, /) -> str:
        """Find libvirt's socket and forward it; return a URI other than the system's unchanged."""
        if not self.node.uri.endswith("/system"):
            return self.node.uri
        self._remote_path = self._find_libvirt()
        self._forward = Forward(self._socket_path, self._connect)
        return forwarded_uri(self.node.uri, self._socket_path)

    @property
    def power(self) -> PowerControl:
        """The refusal of every change of this machine's power."""
        return LocalPowerControl(self.node.name)

    def _find_libvirt(self) -> str:
        for path in LIBVIRT_SOCKETS:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError), self._connect(path):
                return path
        remedy = "systemctl start libvirtd"
        raise LibvirtDown("libvirtd not running", place=self.node.name, remedy=remedy, is_stopped=True)

    def _connect(self, path: str = "") -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path or self._remote_path)
        except PermissionError as error:
            connection.close()
            raise LibvirtFault(
                f"no permission for {path or self._remote_path}",
                place=self.node.name,
                remedy="join the group 'libvirt'",
            ) from error
        except OSError:
            connection.close()
            raise
        return connection

    def responds(self, _timeout_s: float, /) -> bool:
        """Return True: this process runs on the machine."""
        return True

    def cut(self) -> None:
        """End libvirt's connections."""
        forward = self._forward
        if forward is not None:
            forward.cut()

    def close(self) -> None:
        """Remove the socket."""
        forward, self._forward = self._forward, None
        if forward is not None:
            forward.close()

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command on this machine."""
        return run_here(self.node.name, argv, timeout_s)

    def start(self, argv: Sequence[str]) -> Process:
        """Start a command on this machine."""
        return LocalProcess(argv)

    def branch(self) -> tuple[str, Forward | None]:
        """Forward one more socket; return an unchanged URI if `open` did."""
        if self._forward is None:
            return self.node.uri, None
        return branch(self.node.uri, self._socket_path, self._connect)

    def connect(self, address: Address) -> ByteStream:
        """Connect to a socket or port of this machine."""
        if isinstance(address, str):
            return self._connect(address)
        connection = socket.create_connection(address, self.node.answer_timeout)
        connection.settimeout(None)
        return connection


class LocalPowerControl(PowerControl):
    """The power control of this machine: it is on, and mclu does not switch it off."""

    def __init__(self, name: str) -> None:
        self._name = name

    def is_off(self, _timeout_s: float, /) -> bool:
        """Return False: this process runs on the machine."""
        return False

    def packet(self) -> MagicPacket:
        """Raise NodeFault: the machine is on."""
        raise NodeFault("cannot wake this machine: it is on", place=self._name)

    def wake(self) -> None:
        """Raise NodeFault: the machine is on."""
        self.packet()

    def require_power_off(self) -> None:
        """Raise NodeFault: a power-off would end this process, too."""
        raise NodeFault("cannot switch off this machine: mclu runs on it", place=self._name)

    def power_off(self) -> None:
        """Raise NodeFault."""
        self.require_power_off()
