"""A connection of paramiko to a node, which runs commands and opens channels to sockets."""

import contextlib
import logging
import shlex
import socket
import threading
import time
from collections.abc import Iterator, Sequence

import paramiko

from mclu_shell.cloud.concurrency.deadline import Deadline
from mclu_shell.cloud.transport.forward import Address
from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.output import Output
from mclu_shell.cloud.transport.paramiko_ssh.limits import LimitedTransport
from mclu_shell.cloud.transport.paramiko_ssh.login import authenticate, handshake
from mclu_shell.cloud.transport.process import Completed
from mclu_shell.cloud.transport.ssh.faults import command_timed_out, forwarding_refused, session_refused
from mclu_shell.cloud.transport.ssh.remote_process import SILENT_S, RemoteProcess, start_command
from mclu_shell.cloud.transport.ssh.shell_command import LOADER, ShellCommand
from mclu_shell.errors import ConnectionLost, TooMuchData

_log = logging.getLogger(__name__)

_START_TIMEOUT_S = 10.0
# After this much more time without sshd's reply to a request, the connection is closed.
_REPLY_S = 1.0
_CHUNK = 1 << 16
# RFC 4254, section 5.1: SSH_OPEN_ADMINISTRATIVELY_PROHIBITED.
_PROHIBITED = 1
_STREAM_LOCAL = "direct-streamlocal@openssh.com"


class _Session:
    """The channel of a command."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        channel.settimeout(SILENT_S)
        self.recv = channel.recv
        self.sendall = channel.sendall
        self.shutdown_write = channel.shutdown_write
        self.close = channel.close

    def wait_status(self, timeout_s: float) -> int:
        """Return the exit status; -1 if there is none in time."""
        self._channel.status_event.wait(timeout_s)
        return int(self._channel.exit_status) if self._channel.exit_status_ready() else -1


class _Transport(LimitedTransport):
    """The transport, with OpenSSH's channels to unix sockets (PROTOCOL, section 2.4)."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._unix_path = ""
        self._unix_lock = threading.Lock()

    def open_unix_channel(self, path: str, timeout_s: float) -> paramiko.Channel:
        """Open a channel to a unix socket of the node; paramiko.ChannelException if sshd cannot connect to it."""
        with self._unix_lock:
            self._unix_path = path
            return self.open_channel(_STREAM_LOCAL, timeout=timeout_s)

    def _send_user_message(self, data: paramiko.Message) -> None:
        # open_channel cannot add the fields that this kind of channel needs (string socket path, string reserved,
        # uint32 reserved). It sends its message through this method only.
        if data.asbytes().startswith(paramiko.common.cMSG_CHANNEL_OPEN) and _STREAM_LOCAL.encode() in data.asbytes():
            data.add_string(self._unix_path)
            data.add_string("")
            data.add_int(0)
        super()._send_user_message(data)  # type: ignore[misc]


class ParamikoConnection:
    """An authenticated SSH connection over a socket that is already connected to sshd."""

    def __init__(self, target: Target, sock: socket.socket, deadline: float) -> None:
        """Exchange keys, check the host key and log in before `deadline` (of `time.monotonic`)."""
        self.target = target
        started = time.perf_counter()
        self._sock = sock
        self._transport = _Transport(sock)
        self._keepalive_lock = threading.Lock()
        try:
            handshake(self._transport, target, deadline)
            authenticate(self._transport, target, deadline)
        except BaseException:
            self._transport.close()
            # paramiko closes only what it has begun to use.
            sock.close()
            raise
        # With a timeout, paramiko wakes ten times a second to see whether it was closed; `close` wakes it instead.
        sock.settimeout(None)
        _log.debug("%s: ssh login: %.1f ms", target.node, (time.perf_counter() - started) * 1000)

    @property
    def is_alive(self) -> bool:
        """True until a side closes the connection; only `responds` notices a silent peer."""
        return bool(self._transport.is_active())

    def responds(self, timeout_s: float) -> bool:
        """Return whether sshd answers a keep-alive in time; if not, close the connection."""
        # paramiko cannot tell the replies to two requests apart.
        with self._keepalive_lock, Deadline(time.monotonic() + timeout_s, self.close):
            try:
                self._transport.global_request("keepalive@openssh.com", wait=True)
            except (paramiko.SSHException, OSError, EOFError):
                self.close()
        return self.is_alive

    def open_channel(self, address: Address, timeout_s: float) -> paramiko.Channel | None:
        """Open a channel to a unix socket of the node, or to a host and port as the node sees them.

        Return None if nothing answers there (RFC 4254, section 7.2; OpenSSH's PROTOCOL, section 2.4).
        """
        with self._translated():
            try:
                if isinstance(address, str):
                    return self._transport.open_unix_channel(address, timeout_s)
                # The last address is the originator's, which sshd does not need.
                return self._transport.open_channel("direct-tcpip", address, ("127.0.0.1", 0), timeout=timeout_s)
            except paramiko.ChannelException as error:
                if error.code == _PROHIBITED:
                    raise forwarding_refused(self.target, is_socket=isinstance(address, str)) from error
                return None

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate the errors of paramiko; TimeoutError is a command's own."""
        try:
            yield
        except TimeoutError:
            raise
        except (paramiko.SSHException, OSError, EOFError) as error:
            if self._transport.excess:
                raise TooMuchData(
                    f"ssh: {self._transport.excess}", place=self.target.node, remedy="check its sshd"
                ) from error
            raise ConnectionLost("the connection was lost", place=self.target.node) from error

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command on the node and wait for its end."""
        started, deadline = time.perf_counter(), time.monotonic() + timeout_s
        command, output = ShellCommand(argv), Output(self.target.node, repr(argv[0]), count=2)
        try:
            with self._opened(timeout_s) as channel, channel:
                channel.exec_command(LOADER)
                self._send_command(channel, command)
                _read(channel, output, deadline)
                if not channel.status_event.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                status = channel.recv_exit_status()
        except TimeoutError as error:
            raise command_timed_out(self.target, argv, timeout_s) from error
        _log.debug("%s: %s: %.1f ms", self.target.node, shlex.join(argv), (time.perf_counter() - started) * 1000)
        return command.completed(self.target, status, *map(bytes, output.parts))

    @contextlib.contextmanager
    def _opened(self, timeout_s: float) -> Iterator[paramiko.Channel]:
        """Yield a channel for a command; in the block, close the connection if sshd does not reply to a request.

        paramiko waits for that reply without a timeout.
        """
        with Deadline(time.monotonic() + timeout_s + _REPLY_S, self.close), self._translated():
            try:
                channel = self._transport.open_session(timeout=timeout_s)
            except paramiko.ChannelException as error:
                raise session_refused(self.target) from error
            channel.settimeout(timeout_s)
            yield channel

    def _send_command(self, channel: paramiko.Channel, command: ShellCommand) -> None:
        try:
            channel.sendall(command.line)
            channel.shutdown_write()
        except TimeoutError:
            raise
        except OSError:
            # A login shell that has already ended reads nothing; its output has the reason.
            if not self.is_alive:
                raise

    def start(self, argv: Sequence[str]) -> RemoteProcess:
        """Start a command on the node; stderr goes to its stdout."""
        with self._opened(_START_TIMEOUT_S) as channel:
            channel.set_combine_stderr(True)
            channel.exec_command(LOADER)
        return start_command(_Session(channel), argv, self.target, lambda: self.responds(SILENT_S))

    def close(self) -> None:
        """Close the connection; every call that is blocked on it ends at once."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._transport.close()


class _Arrival(threading.Event):
    """The arrival of data in one of two buffers; paramiko clears it when one of them is empty."""

    def clear(self) -> None:
        pass

    def reset(self) -> None:
        super().clear()


def _read(channel: paramiko.Channel, output: Output, deadline: float) -> None:
    """Read stdout and stderr until their ends; raise TimeoutError at the deadline (of `time.monotonic`)."""
    # Not the pipe of Channel.fileno(): paramiko may write to its descriptor after it was closed.
    arrival = _Arrival()
    channel.in_buffer.set_event(arrival)
    channel.in_stderr_buffer.set_event(arrival)
    while time.monotonic() < deadline:
        arrival.reset()
        # The end comes after all data.
        is_at_end = channel.eof_received or channel.closed
        if channel.recv_ready():
            output.add(channel.recv(_CHUNK), 0)
        elif channel.recv_stderr_ready():
            output.add(channel.recv_stderr(_CHUNK), 1)
        elif is_at_end:
            return
        else:
            arrival.wait(deadline - time.monotonic())
    raise TimeoutError
