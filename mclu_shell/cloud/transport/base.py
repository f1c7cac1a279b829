"""The interfaces of a transport to one machine and of its power control."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.forward import Address, ByteStream, Forward
    from mclu_shell.cloud.transport.process import Completed, Process
    from mclu_shell.cloud.transport.wake_on_lan import MagicPacket
    from mclu_shell.errors import Question


class PowerControl(ABC):
    """The power switch of one machine. It works whether or not a transport to the machine is open.

    Its methods raise NodeFault.
    """

    @abstractmethod
    def is_off(self, timeout_s: float, /) -> bool:
        """Return whether nothing answers at the machine's address; Unreachable if there is no way to know."""

    @abstractmethod
    def packet(self) -> "MagicPacket":
        """Return the packet that `wake` sends."""

    @abstractmethod
    def wake(self) -> None:
        """Switch the machine on; return at once."""

    @abstractmethod
    def require_power_off(self) -> None:
        """Raise NodeFault if `power_off` would fail."""

    @abstractmethod
    def power_off(self) -> None:
        """Order a clean power-off; return at once."""


class LibvirtTransport(ABC):
    """The transport of libvirt's connection to one machine.

    Its methods raise NodeFault and end within their deadline or timeout.
    """

    # False if a second libvirt connection would reach another machine, as with the test: driver.
    has_branches = True

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that `open` imports."""
        return ()

    @property
    def answer_timeout_s(self) -> float:
        """The longest wait for libvirt's answer, if shorter than the node's own timeout."""
        return math.inf

    @property
    def last_message_at(self) -> float:
        """The time (of `time.monotonic`) of libvirtd's last message; -inf if unknown."""
        return -math.inf

    @property
    @abstractmethod
    def power(self) -> PowerControl:
        """The machine's power control."""

    @abstractmethod
    def open(self, deadline: float, /) -> str:
        """Reach the machine before `deadline` (of `time.monotonic`); return the URI of its libvirt for this host."""

    def log_in(self, _asker: "Callable[[Question], str | None]", /) -> None:
        """Log in while `_asker` replies to questions, after PromptRequired; raise NodeFault if that fails, too."""
        raise AssertionError("this transport raises no PromptRequired")

    @abstractmethod
    def responds(self, timeout_s: float, /) -> bool:
        """Return whether the open transport still reaches the machine."""

    @abstractmethod
    def cut(self) -> None:
        """End libvirt's connections from this end, and with them its blocked calls; the transport stays open."""

    def release(self, _timeout_s: float, /) -> None:
        """Close libvirt's connections; keep a transport that carries other channels, if it responds in time."""
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the transport; every call that is blocked on it ends at once."""

    @abstractmethod
    def branch(self) -> "tuple[str, Forward | None]":
        """Return a URI for one more libvirt connection, and the forward that cuts it alone (None if it needs none).

        It needs `open` first.
        """

    @abstractmethod
    def direct(self) -> "Transport":
        """Return this process's own transport, open, for commands and sockets beside libvirt."""

    @abstractmethod
    def run_without_libvirt(self, argv: Sequence[str], timeout_s: float) -> "Completed":
        """Run a command on the machine; log in if needed. It does not need `open`, nor libvirt."""

    def direct_responds(self, timeout_s: float, /) -> bool:
        """Return whether commands and sockets beside libvirt still reach the machine."""
        return self.responds(timeout_s)


class Transport(LibvirtTransport):
    """A transport to one machine for libvirt, commands and sockets.

    The commands and sockets need `open` first.
    """

    def direct(self) -> "Transport":
        """Return this transport."""
        return self

    def run_without_libvirt(self, argv: Sequence[str], timeout_s: float) -> "Completed":
        """Run a command on the machine."""
        return self.run(argv, timeout_s)

    @abstractmethod
    def run(self, argv: Sequence[str], timeout_s: float) -> "Completed":
        """Run a command on the machine and wait for its end."""

    @abstractmethod
    def start(self, argv: Sequence[str]) -> "Process":
        """Start a command on the machine."""

    @abstractmethod
    def connect(self, address: "Address") -> "ByteStream":
        """Connect to a socket or port of the machine; ConnectionRefusedError if nothing listens there."""
