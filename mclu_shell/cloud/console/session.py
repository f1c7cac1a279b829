"""A guest's serial console as a socket of this machine."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.concurrency.deadline import Deadline
from mclu_shell.cloud.console.backlog import Backlog
from mclu_shell.cloud.console.devices import fetch_devices
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import is_active_state
from mclu_shell.cloud.transport.forward import Forward
from mclu_shell.errors import ConnectionLost, LibvirtDown, LibvirtFault, MCluError

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.stream import ConsoleStream

# More than a serial console has. libvirt's client reads faster than it delivers, and keeps the rest in memory.
_BYTES_PER_S = 4 << 20
_CHUNK = 65536
# Interval of connection checks: a node that lost its power is as silent as a quiet guest.
_CHECK_S = 2.0
# Limit for each step of closing: a guest that does not read its console blocks the writer.
_CLOSE_S = 0.5
# A guest's console may end before libvirt reports the guest as shut off.
_STATE_DELAY_S = 1.0
_POLL_S = 0.1


def require_console(node: Node, name: str) -> None:
    """Raise an error if a guest does not run, has no console, or is simulated."""
    devices = fetch_devices(node, name, "consoles")
    if devices.find("./serial") is None and devices.find("./console") is None:
        raise MCluError(
            f"{name} has no serial console",
            place=node.name,
            remedy="add <console type='pty'/> to its devices with 'virsh edit'",
        )


class Console:
    """An open console: `socket` sends input to the guest and receives its output.

    When the console ends, `socket` is at end of file, and `fault` is the error, if there was one.
    """

    def __init__(self, node: Node, stream: "ConsoleStream") -> None:
        self.socket, self._end = socket.socketpair()
        self.fault: MCluError | None = None
        self._node = node
        self._stream = stream
        self._is_closing = threading.Event()
        self._backlog = Backlog()
        self._receiver = threading.Thread(target=self._receive, daemon=True)
        self._deliverer = threading.Thread(target=self._deliver, daemon=True)
        self._sender = threading.Thread(target=self._send, daemon=True)
        checker = threading.Thread(target=self._check_connection, daemon=True)
        for thread in (self._receiver, self._deliverer, self._sender, checker):
            thread.start()

    def _receive(self) -> None:
        try:
            while data := self._stream.recv(_CHUNK):
                self._backlog.put(data)
        except MCluError as error:
            self.fault = error
        finally:
            self._backlog.end()

    def _deliver(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._backlog.get():
                self._end.sendall(data)
        self._shut_down()

    def _send(self) -> None:
        # The receiving thread reports the console's errors.
        with contextlib.suppress(OSError, MCluError):
            while data := self._end.recv(_CHUNK):
                self._stream.sendall(data)

    def _check_connection(self) -> None:
        # check_alive() closes a dead connection, which ends the stream.
        while not self._is_closing.wait(_CHECK_S) and self._node.check_alive():
            pass

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def detach(self) -> None:
        """Finish the stream in an orderly way, within a time limit."""
        self._is_closing.set()
        # The sender still delivers the last input.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        self._sender.join(_CLOSE_S)
        closing = threading.Thread(target=self._stream.close, daemon=True)
        closing.start()
        closing.join(_CLOSE_S)

    def close(self) -> None:
        """Close the socket; call `detach` and close the libvirt connection first."""
        self._shut_down()
        for thread in (self._receiver, self._deliverer, self._sender):
            thread.join(_CLOSE_S)
        self.socket.close()
        self._end.close()


@contextmanager
def open_console(node: Node, name: str, *, force: bool = False) -> Iterator[Console]:
    """Open a guest's console over a separate libvirt connection, which can be closed at any time.

    libvirtd also deadlocks if `force` takes a console away from the connection that requests it.
    """
    from mclu_shell.cloud.hypervisor.client import LibvirtClient

    uri, forward = node.branch()
    if forward is not None:
        forward.bytes_per_s = _BYTES_PER_S
    client = console = None
    try:
        with _answer_timeout(node, forward):
            client = LibvirtClient(node.name, uri)
            stream = client.open_console(name, force=force)
        console = Console(node, stream)
        yield console
    finally:
        if console is not None:
            console.detach()
        # The forward first: closing the libvirt connection would wait for a reply over it.
        if forward is not None:
            forward.close()
        if client is not None:
            client.close()
        if console is not None:
            console.close()


@contextmanager
def _answer_timeout(node: Node, forward: Forward | None) -> Iterator[None]:
    """Interrupt libvirt's calls over a branch when the node's answer timeout has passed."""

    def cut() -> None:
        if forward is not None:
            forward.close()

    with Deadline(time.monotonic() + node.config.answer_timeout, cut) as deadline:
        try:
            yield
        except (LibvirtFault, ConnectionLost) as error:
            if not deadline.is_late:
                raise
            raise LibvirtDown("libvirtd not answering", place=node.name) from error


def explain_end(node: Node, name: str, fault: MCluError | None) -> str:
    """Return a message if a console ended because its guest stopped; otherwise raise the error."""
    scope = CancelScope(_STATE_DELAY_S)
    while (state := node.query(lambda client: client.fetch_state(name))) and is_active_state(state):
        if isinstance(fault, ConnectionLost):
            raise fault
        if scope.is_over:
            raise MCluError(
                f"the console of {name} was closed on the node, although {name} is {state}",
                place=node.name,
                remedy="open it again, unless another user has taken it over with --force",
            )
        scope.sleep(_POLL_S)
    return f"{node.name}:{name} is {state or 'gone'}."
