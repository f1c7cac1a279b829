"""A guest's serial console as a socket of this machine, and why it has ended."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mclu_shell.cloud.concurrency.deadline import Deadline
from mclu_shell.cloud.console.devices import fetch_devices
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import is_active_state
from mclu_shell.cloud.transport.forward import Forward
from mclu_shell.errors import ConnectionLost, LibvirtDown, LibvirtFault, MCluError

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.stream import ConsoleStream

_CHUNK = 65536
# How often the way to the node is looked at. A node that has lost its power says nothing, as a quiet guest does.
_LOOK_S = 2.0
# What giving the console back may take. A guest that reads nothing would keep us waiting for ever.
_GIVE_BACK_S = 0.5
# A guest's console may end a moment before libvirt calls the guest shut off.
_STATE_FOLLOWS_S = 1.0
_POLL_S = 0.1


def require_console(node: Node, name: str) -> None:
    """Raise what speaks against a console: the guest does not run, has none, or is simulated."""
    devices = fetch_devices(node, name, "consoles")
    if devices.find("./serial") is None and devices.find("./console") is None:
        raise MCluError(
            f"{name} has no serial console",
            place=node.name,
            remedy="in 'virsh edit', a line <console type='pty'/> among its devices gives it one",
        )


class Console:
    """An open console: what is sent to `socket` is typed there, and what the guest writes is received from it.

    `socket` is at its end when the console is; `fault` is then what went wrong, if anything did.
    """

    def __init__(self, node: Node, stream: "ConsoleStream") -> None:
        self.socket, self._end = socket.socketpair()
        self.fault: MCluError | None = None
        self._node = node
        self._stream = stream
        self._is_closing = threading.Event()
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._typing = threading.Thread(target=self._type, daemon=True)
        for thread in (self._hearing, self._typing, threading.Thread(target=self._watch, daemon=True)):
            thread.start()

    def _hear(self) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := self._stream.recv(_CHUNK):
                    self._end.sendall(data)
        except MCluError as error:
            self.fault = error
        self._hang_up()

    def _type(self) -> None:
        # What is wrong with the console is told by the other way.
        with contextlib.suppress(OSError, MCluError):
            while data := self._end.recv(_CHUNK):
                self._stream.sendall(data)

    def _watch(self) -> None:
        # A way that does not lead to the node any more is given up by the look at it, which ends the stream.
        while not self._is_closing.wait(_LOOK_S) and self._node.check_alive():
            pass

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def detach(self) -> None:
        """End it as the other side expects, if that can be done without waiting for long."""
        self._is_closing.set()
        # What was typed last is still on its way to the guest.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        self._typing.join(_GIVE_BACK_S)
        closing = threading.Thread(target=self._stream.close, daemon=True)
        closing.start()
        closing.join(_GIVE_BACK_S)

    def close(self) -> None:
        """Close the socket, after what ends the stream has been done."""
        self._hang_up()
        for thread in (self._hearing, self._typing):
            thread.join(_GIVE_BACK_S)
        self.socket.close()
        self._end.close()


@contextmanager
def open_console(node: Node, name: str, *, force: bool = False) -> Iterator[Console]:
    """A guest's console, over a libvirt connection of its own, which can be ended whatever hangs.

    Also, libvirtd waits for itself when a console is taken away from the connection that asks for it.
    """
    # libvirt-python takes 30 ms to import, and most commands need no console.
    from mclu_shell.cloud.hypervisor.client import LibvirtClient

    uri, forward = node.branch()
    client = console = None
    try:
        with _limited(node, forward):
            client = LibvirtClient(node.name, uri)
            stream = client.open_console(name, force=force)
        console = Console(node, stream)
        yield console
    finally:
        if console is not None:
            console.detach()
        # The way first: closing libvirt's end would wait for an answer over it.
        if forward is not None:
            forward.close()
        if client is not None:
            client.close()
        if console is not None:
            console.close()


@contextmanager
def _limited(node: Node, forward: Forward | None) -> Iterator[None]:
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
    """How a console ended that the user did not leave: with its guest, or it is an error, which is raised."""
    deadline = time.monotonic() + _STATE_FOLLOWS_S
    while (state := node.query(lambda client: client.fetch_state(name))) and is_active_state(state):
        if isinstance(fault, ConnectionLost):
            raise fault
        if time.monotonic() >= deadline:
            raise MCluError(
                f"the console of {name} was closed there, while it is {state}",
                place=node.name,
                remedy="perhaps somebody has taken it over with --force",
            )
        time.sleep(_POLL_S)
    return f"{node.name}:{name} is {state or 'gone'}."
