"""Simulated nodes for `mclu --demo`, on libvirt's test: driver within this process."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from mclu_shell.cloud.transport.base import PowerControl, Transport
from mclu_shell.cloud.transport.forward import Address, ByteStream, Forward
from mclu_shell.cloud.transport.process import Completed, LocalProcess, Process, run_here
from mclu_shell.cloud.transport.wake_on_lan import MagicPacket
from mclu_shell.config import NodeConfig
from mclu_shell.errors import NodeOff


class SimulatedPowerControl(PowerControl):
    """The power switch of a simulated node."""

    def __init__(self, node: NodeConfig, *, is_on: bool) -> None:
        self._node = node
        self.is_on = is_on
        self.has_guests = is_on

    def is_off(self, _timeout_s: float, /) -> bool:
        """Return whether the node is switched off."""
        return not self.is_on

    def packet(self) -> MagicPacket:
        """Return the packet that a real node would receive."""
        return MagicPacket(self._node.mac or "", self._node.broadcast)

    def wake(self) -> None:
        """Switch the node on."""
        self.is_on = True

    def require_power_off(self) -> None:
        """Raise nothing: a simulated node can always be switched off."""

    def power_off(self) -> None:
        """Switch the node off; its guests are gone, as on a real node."""
        self.is_on = self.has_guests = False


class SimulatedTransport(Transport):
    """A node of libvirt's test: driver, which a file of this package describes."""

    has_branches = False

    def __init__(self, node: NodeConfig, *, is_on: bool) -> None:
        self.node = node
        self._power = SimulatedPowerControl(node, is_on=is_on)

    @property
    def power(self) -> SimulatedPowerControl:
        """The node's power switch."""
        return self._power

    def open(self, _deadline: float, /) -> str:
        """Return the URI of a node in its first state; NodeOff if it is off."""
        if not self._power.is_on:
            raise NodeOff(self.node.name)
        return self._uri()

    def _uri(self) -> str:
        name = "demo-node.xml" if self._power.has_guests else "demo-empty.xml"
        return f"test://{quote(str(Path(__file__).with_name(name)))}"

    def responds(self, _timeout_s: float, /) -> bool:
        """Return whether the node is on."""
        return self._power.is_on

    def cut(self) -> None:
        """Do nothing: the test: driver blocks in no call."""

    def close(self) -> None:
        """Do nothing: no socket is open."""

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command on this machine, which has the directory of the simulated guests."""
        return run_here(self.node.name, argv, timeout_s)

    def start(self, argv: Sequence[str]) -> Process:
        """Start a command on this machine."""
        return LocalProcess(argv)

    def branch(self) -> tuple[str, Forward | None]:
        """Return the node's URI; there is no socket to cut."""
        return self._uri(), None

    def connect(self, _address: Address) -> ByteStream:
        """Raise ConnectionRefusedError: a simulated node has no sockets."""
        raise ConnectionRefusedError
