"""How a machine is reached: what all ways have in common. Each opens the way to its libvirt."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.forward import Address, ByteStream, Forward
    from mclu_shell.cloud.transport.process import Completed, Process
    from mclu_shell.cloud.transport.wake_on_lan import MagicPacket


class Transport(Protocol):
    """The way to one machine. Methods raise NodeFault; none blocks longer than it is told."""

    @property
    def modules(self) -> tuple[str, ...]:
        """What opening it will import."""
        return ()

    @property
    def patience_s(self) -> float:
        """How long a question may take over this way, where that is less than the node's own limit."""
        return math.inf

    @property
    def heard_at(self) -> float:
        """When its libvirtd last said something by itself (of time.monotonic); -inf where that is not known."""
        return -math.inf

    def open(self, deadline: float) -> str:
        """Reach the machine before `deadline` (of time.monotonic); the URI of its libvirt, to be opened here."""

    def responds(self, timeout_s: float) -> bool:
        """Whether an opened way still leads there."""

    def cut(self) -> None:
        """End libvirt's calls that are blocked on the way, from our end."""

    def release(self, timeout_s: float) -> None:  # noqa: ARG002
        """Give up what libvirt is reached by; what else goes over the way goes on, where it still leads there."""
        self.close()

    def carries(self, timeout_s: float) -> bool:
        """Whether what goes over an opened way beside libvirt still can."""
        return self.responds(timeout_s)

    def close(self) -> None:
        """Give up the way; what waits on it ends at once."""

    def is_off(self, timeout_s: float) -> bool:
        """Whether nothing answers at the machine's address."""

    def packet(self) -> "MagicPacket":
        """What `wake` would send."""

    def wake(self) -> None:
        """Ask the machine to switch on."""

    def require_power_off(self) -> None:
        """Raise what speaks against `power_off`, over the way that is open."""

    def power_off(self) -> None:
        """Tell the machine to switch off cleanly."""

    def run(self, argv: Sequence[str], timeout_s: float) -> "Completed":
        """Run a command on the machine, over the way that is open."""

    def start(self, argv: Sequence[str]) -> "Process":
        """Start a command on the machine, over the way that is open."""

    def branch(self) -> "tuple[str, Forward | None]":
        """A URI of libvirt for one more connection, and what cuts that one alone (if it can be cut)."""

    def connect(self, address: "Address") -> "ByteStream":
        """What listens at an address of the machine, over the way that is open; ConnectionRefusedError if nothing."""
