"""The interface of an SSH connection to a node: paramiko's and OpenSSH's have the same."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from mclu_shell.cloud.transport.openssh.config import Target

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.forward import Address, ByteStream
    from mclu_shell.cloud.transport.process import Completed, Process


class SSHConnection(Protocol):
    """An authenticated connection; its methods raise ConnectionLost when it has ended."""

    target: Target

    @property
    def is_alive(self) -> bool:
        """True until a side closes the connection; only `responds` notices a silent peer."""

    def responds(self, timeout_s: float) -> bool:
        """Return whether sshd answers in time; if not, close the connection."""

    def open_channel(self, address: "Address", timeout_s: float) -> "ByteStream | None":
        """Open a channel to a unix socket, or to a host and port as the node sees them; None if nothing answers."""

    def run(self, argv: Sequence[str], timeout_s: float) -> "Completed":
        """Run a command and wait for its end."""

    def start(self, argv: Sequence[str]) -> "Process":
        """Start a command; stderr goes to its stdout."""

    def close(self) -> None:
        """Close the connection; every call that is blocked on it ends at once."""
