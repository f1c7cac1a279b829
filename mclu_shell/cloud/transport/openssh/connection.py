"""An SSH connection that an ssh process holds: it runs commands and opens channels to sockets of the node."""

import contextlib
import itertools
import logging
import shlex
import socket
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mclu_shell.cloud.transport.forward import Address
from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.openssh.mux import MuxClient, MuxRefused
from mclu_shell.cloud.transport.openssh.streams import Stream, is_at_end
from mclu_shell.cloud.transport.output import Output, read_streams
from mclu_shell.cloud.transport.process import Completed
from mclu_shell.cloud.transport.ssh.faults import command_timed_out, forwarding_refused, session_refused
from mclu_shell.cloud.transport.ssh.remote_process import SILENT_S, RemoteProcess, start_command
from mclu_shell.cloud.transport.ssh.shell_command import LOADER, ShellCommand
from mclu_shell.errors import ConnectionLost

_log = logging.getLogger(__name__)

_START_TIMEOUT_S = 10.0
# A port of the node where nothing listens (tcpmux): sshd refuses a channel to it in one round trip.
_PROBE = ("127.0.0.1", 1)
# The process writes the reason for a refusal before the reply, but to another descriptor.
_REASON_TIMEOUT_S = 0.5
_numbers = itertools.count()


class Master(Protocol):
    """An ssh process that shares its open connection: mclu's own, or the user's."""

    control: Path
    files: Path

    @property
    def is_alive(self) -> bool:
        """True until the process or its connection ends."""

    def mark(self) -> int:
        """Return a mark for `find_refusal`."""

    def find_refusal(self, mark: int, timeout_s: float, /) -> str:
        """Return the first message after the mark that a channel was refused; empty if none comes in time."""

    def close(self) -> None:
        """End the use of the process."""


class OpenSSHConnection:
    """The open connection of an ssh process."""

    def __init__(self, target: Target, process: Master) -> None:
        self.target = target
        self._process = process
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        # Our ends of the open channels.
        self._ends: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        # The local socket of each forwarded socket of the node.
        self._forwards: dict[str, Path] = {}

    @property
    def is_alive(self) -> bool:
        """True until a side closes the connection; only `responds` notices a silent peer."""
        return self._process.is_alive

    def responds(self, timeout_s: float) -> bool:
        """Return whether sshd answers in time; if not, close the connection."""
        try:
            deadline = time.monotonic() + timeout_s
            self._round_trip(self._client(deadline), deadline)
        except (OSError, EOFError):
            self.close()
        return self.is_alive

    def _round_trip(self, client: MuxClient, deadline: float) -> None:
        """Wait for sshd's reply to a request for a channel; sshd replies in the order of the requests."""
        ours, theirs = socket.socketpair()
        with contextlib.closing(client), ours, theirs, contextlib.suppress(MuxRefused):
            client.open_stream(*_PROBE, theirs.fileno(), deadline)

    def _client(self, deadline: float) -> MuxClient:
        return MuxClient(self._process.control, deadline)

    def open_channel(self, address: Address, timeout_s: float) -> socket.socket | None:
        """Open a channel to a unix socket of the node, or to a host and port as the node sees them.

        Return None if nothing answers there.
        """
        deadline, mark = time.monotonic() + timeout_s, self._process.mark()
        try:
            if isinstance(address, str):
                channel = self._open_unix_channel(address, deadline)
            else:
                channel = self._open_stream(address, deadline)
        except (OSError, EOFError, MuxRefused) as error:
            raise ConnectionLost("the connection was lost", place=self.target.node) from error
        if channel is None:
            reason = self._process.find_refusal(mark, _REASON_TIMEOUT_S)
            if "administratively prohibited" in reason:
                raise forwarding_refused(self.target, is_socket=isinstance(address, str))
        return channel

    def _open_stream(self, address: tuple[str, int], deadline: float) -> "Stream | None":
        client = self._client(deadline)
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                client.open_stream(*address, theirs.fileno(), deadline)
        except MuxRefused:
            client.close()
            ours.close()
            return None
        stream = Stream(ours, client)
        self._track(stream)
        return stream

    def _open_unix_channel(self, path: str, deadline: float) -> socket.socket | None:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            channel.settimeout(max(0.01, deadline - time.monotonic()))
            local = self._forward(path, deadline)
            with self._opening:
                channel.connect(str(local))
                # The process greets a client after it has accepted all earlier connections, one for each socket.
                client = self._client(deadline)
            self._round_trip(client, deadline)
            channel.settimeout(None)
            if is_at_end(channel):
                channel.close()
                return None
        except BaseException:
            channel.close()
            raise
        self._track(channel)
        return channel

    def _forward(self, path: str, deadline: float) -> Path:
        with self._lock:
            if path not in self._forwards:
                files = self._process.files
                local = files.with_name(f"{files.stem}-{next(_numbers)}.fwd")
                with contextlib.closing(self._client(deadline)) as client:
                    client.open_forward(local, path, deadline)
                self._forwards[path] = local
            return self._forwards[path]

    def forwards(self) -> dict[str, Path]:
        """Return the local socket of each forwarded socket of the node."""
        with self._lock:
            return dict(self._forwards)

    def _track(self, end: socket.socket) -> None:
        """Let `close` end the calls that are blocked on a channel."""
        with self._lock:
            self._ends.add(end)

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command on the node and wait for its end."""
        started, deadline = time.perf_counter(), time.monotonic() + timeout_s
        command, output = ShellCommand(argv), Output(self.target.node, repr(argv[0]), count=2)
        out, out_end = socket.socketpair()
        err, err_end = socket.socketpair()
        self._track(out)
        self._track(err)
        with out, err:
            with out_end, err_end:
                session = self._session((out_end.fileno(), out_end.fileno(), err_end.fileno()), deadline)
            with contextlib.closing(session):
                # A login shell that has already ended reads nothing; its output has the reason.
                with contextlib.suppress(OSError):
                    out.settimeout(timeout_s)
                    out.sendall(command.line)
                    out.shutdown(socket.SHUT_WR)
                try:
                    read_streams((out, err), output, deadline)
                except TimeoutError as error:
                    raise command_timed_out(self.target, argv, timeout_s) from error
                status = session.exit_status(max(0.1, deadline - time.monotonic()))
        if status == -1 and not self.is_alive:
            raise ConnectionLost("the connection was lost", place=self.target.node)
        _log.debug("%s: %s: %.1f ms", self.target.node, shlex.join(argv), (time.perf_counter() - started) * 1000)
        return command.completed(self.target, status, *map(bytes, output.parts))

    def start(self, argv: Sequence[str]) -> RemoteProcess:
        """Start a command on the node; stderr goes to its stdout."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                end = theirs.fileno()
                client = self._session((end, end, end), time.monotonic() + _START_TIMEOUT_S)
        except BaseException:
            ours.close()
            raise
        ours.settimeout(SILENT_S)
        stream = Stream(ours, client)
        self._track(stream)
        return start_command(stream, argv, self.target, lambda: self.responds(SILENT_S))

    def _session(self, descriptors: tuple[int, int, int], deadline: float) -> MuxClient:
        try:
            client = self._client(deadline)
            try:
                client.open_session(LOADER, descriptors, deadline)
            except BaseException:
                client.close()
                raise
        except MuxRefused as error:
            raise session_refused(self.target) from error
        except (OSError, EOFError) as error:
            raise ConnectionLost("the connection was lost", place=self.target.node) from error
        return client

    def close(self) -> None:
        """Close the connection; every call that is blocked on it ends at once."""
        self._process.close()
        for local in self.forwards().values():
            local.unlink(missing_ok=True)
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
