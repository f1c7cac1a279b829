"""The cloud of `mclu --demo`: simulated nodes on libvirt's own test: driver, in this process alone."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from mclu_shell.cloud.transport.base import Transport
from mclu_shell.cloud.transport.forward import Address, ByteStream, Forward
from mclu_shell.cloud.transport.process import Completed, LocalProcess, Process, run_here
from mclu_shell.cloud.transport.wake_on_lan import MagicPacket
from mclu_shell.config import NodeConfig
from mclu_shell.errors import NodeOff


class SimulatedTransport(Transport):
    """A machine of libvirt's test: driver, described by a file of this package, with a power switch of our own."""

    def __init__(self, node: NodeConfig, *, is_on: bool) -> None:
        self.node = node
        self._is_on = is_on
        self._has_guests = is_on

    def open(self, deadline: float) -> str:  # noqa: ARG002
        """A machine anew, if it is on."""
        if not self._is_on:
            raise NodeOff(self.node.name)
        return self._uri()

    def _uri(self) -> str:
        name = "demo-node.xml" if self._has_guests else "demo-empty.xml"
        return f"test://{quote(str(Path(__file__).with_name(name)))}"

    def responds(self, timeout_s: float) -> bool:  # noqa: ARG002
        """As long as it is on."""
        return self._is_on

    def cut(self) -> None:
        """Nothing blocks in this process."""

    def close(self) -> None:
        """Nothing is kept open."""

    def is_off(self, timeout_s: float) -> bool:  # noqa: ARG002
        """Whether its switch is off."""
        return not self._is_on

    def packet(self) -> MagicPacket:
        """What a real machine would be sent."""
        return MagicPacket(self.node.mac or "", self.node.broadcast)

    def wake(self) -> None:
        """A magic packet would switch it on; this does, too."""
        self._is_on = True

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command here: the demo's guests live in a private directory of this machine."""
        return run_here(argv, timeout_s)

    def start(self, argv: Sequence[str]) -> Process:
        """Start a command here."""
        return LocalProcess(argv)

    def branch(self) -> tuple[str, Forward | None]:
        """It is in this process; nothing is to be cut."""
        return self._uri(), None

    def connect(self, address: Address) -> ByteStream:  # noqa: ARG002
        """Nothing listens on it."""
        raise ConnectionRefusedError

    def require_power_off(self) -> None:
        """Nothing speaks against it."""

    def power_off(self) -> None:
        """Switch it off; like a real machine it forgets what ran on it."""
        self._is_on, self._has_guests = False, False
