"""A running command on a node, over a channel of an SSH connection (RFC 4254, section 6)."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

from mclu_shell.cloud.transport.process import split_lines

# If a running command sends nothing for this long, sshd gets a keep-alive, and as long to answer it.
SILENT_S = 3.0


class SessionChannel(Protocol):
    """The input, output and exit status of a command."""

    def recv(self, size: int, /) -> bytes:
        """Receive up to `size` bytes of output; return none at its end. TimeoutError after SILENT_S."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of the bytes to the command's stdin, or raise OSError."""

    def shutdown_write(self) -> None:
        """Close the command's stdin."""

    def wait_status(self, timeout_s: float, /) -> int:
        """Return the exit status; -1 if there is none in time."""

    def close(self) -> None:
        """Close the channel."""


class RemoteProcess:
    """A running command on the node; `responds` checks the connection to it."""

    def __init__(self, channel: SessionChannel, responds: Callable[[], bool]) -> None:
        self._channel = channel
        self._responds = responds

    def send(self, data: bytes) -> None:
        """Write to its standard input."""
        with contextlib.suppress(OSError):
            self._channel.sendall(data)

    def end_input(self) -> None:
        """Close its standard input."""
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def lines(self) -> Iterator[str]:
        """Yield the output by lines."""
        return split_lines(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the output as it arrives."""
        while True:
            try:
                data = self._channel.recv(65536)
            except TimeoutError:
                # The command may have no output, or the node may be gone: only a keep-alive tells them apart.
                if self._responds():
                    continue
                return
            except OSError:
                return
            if not data:
                return
            yield data

    def wait(self, timeout_s: float) -> int:
        """Return the exit status; -1 if there is none in time."""
        return self._channel.wait_status(timeout_s)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()
