"""A running command on a node, over a channel of an SSH connection (RFC 4254, section 6)."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.output import Output
from mclu_shell.cloud.transport.process import split_lines
from mclu_shell.cloud.transport.ssh.shell_command import ShellCommand, shell_is_slow
from mclu_shell.errors import ConnectionLost

# The limit for the login shell to run the command; its start-up files may take some seconds.
_START_TIMEOUT_S = 15.0
# In bytes, for the output of the start-up files before the command's.
_MOST_PRINTED = 1 << 18
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

    def __init__(self, channel: SessionChannel, responds: Callable[[], bool], output: bytes = b"") -> None:
        """Create the process; `output` was received already."""
        self._channel = channel
        self._responds = responds
        self._output = output

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
        output, self._output = self._output, b""
        if output:
            yield output
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


def start_command(
    channel: SessionChannel, argv: Sequence[str], target: Target, responds: Callable[[], bool]
) -> RemoteProcess:
    """Run a command with a loader that has just been started; return after the login shell has begun it.

    Raise CommandsRefused if it does not, and ConnectionLost.
    """
    command = ShellCommand(argv, streams=(1,))
    printed = Output(target.node, "the login shell", most_bytes=_MOST_PRINTED)
    deadline = time.monotonic() + _START_TIMEOUT_S
    try:
        # A login shell that has already ended reads nothing; its output has the reason.
        with contextlib.suppress(OSError):
            channel.sendall(command.line)
        while (output := command.output(bytes(printed.parts[0]))) is None:
            if time.monotonic() > deadline:
                raise shell_is_slow(target, _START_TIMEOUT_S)
            try:
                data = channel.recv(65536)
            except TimeoutError:
                if not responds():
                    raise
                continue
            if not data:
                raise command.refusal(target, bytes(printed.parts[0]), channel.wait_status(1.0))
            printed.add(data)
    except (OSError, EOFError) as error:
        channel.close()
        raise ConnectionLost("the connection was lost", place=target.node) from error
    except BaseException:
        channel.close()
        raise
    return RemoteProcess(channel, responds, output)
