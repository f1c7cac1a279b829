"""A change of one guest over a libvirt connection of its own, so that a guest that hangs delays no other guest."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mclu_shell.cloud.concurrency.deadline import Deadline
from mclu_shell.errors import ConnectionLost, LibvirtFault, MCluError, NodeFault, NodeOff

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.client import LibvirtClient
    from mclu_shell.cloud.transport.forward import Forward

# libvirt sends these to the guest's QEMU process, and waits for its answer without a limit.
QEMU_VERBS = frozenset({"resume", "wake", "shutdown", "reboot", "reset"})
# Connections of one node at the same time.
_MOST = 16


class GuestChanges:
    """The separate connections of one node; `branch` returns a URI and the forward that cuts it.

    `require_answer` raises NodeFault if the node or its libvirtd does not answer.
    """

    def __init__(
        self, node: str, branch: Callable[[], tuple[str, "Forward | None"]], require_answer: Callable[[], None]
    ) -> None:
        self._node = node
        self._branch = branch
        self._require_answer = require_answer
        self._free = threading.Semaphore(_MOST)

    def make(self, name: str, verb: str, uuid: str, timeout_s: float) -> None:
        """Do a verb of `LibvirtClient.change` to a guest.

        If the connection is lost, or there is no answer in time, raise NodeFault for the node, its libvirtd or the
        guest's QEMU.
        """
        with self._free:
            deadline = time.monotonic() + timeout_s
            uri, forward = self._branch()
            with _cut_at(deadline, forward) as is_late:
                try:
                    with self._connection(uri, forward) as client:
                        client.change(name, verb, uuid)
                except (LibvirtFault, ConnectionLost) as error:
                    if is_late():
                        raise self._diagnose(name, self._hangs(name)) from error
                    if isinstance(error, LibvirtFault):
                        raise
                    raise self._diagnose(name, error.with_context()) from error

    @contextmanager
    def _connection(self, uri: str, forward: "Forward | None") -> Iterator["LibvirtClient"]:
        from mclu_shell.cloud.hypervisor.client import LibvirtClient

        client = LibvirtClient(self._node, uri)
        try:
            yield client
        finally:
            # The forward first: closing the libvirt connection would wait for a reply over it.
            if forward is not None:
                forward.close()
            client.close()

    def _hangs(self, name: str) -> LibvirtFault:
        fact = f"{name}: its QEMU process does not answer"
        return LibvirtFault(fact, place=self._node, remedy=f"on the node: virsh destroy {name}")

    def _diagnose(self, name: str, error: MCluError) -> MCluError:
        """Return an error, or that of the node if it is off, or does not answer."""
        try:
            self._require_answer()
        except NodeOff as fault:
            # Its guests are off, too.
            error = fault
        except NodeFault as fault:
            error = fault.with_context(fact=f"{fault.fact}, while changing {name}")
        error.guest = name
        return error


@contextmanager
def _cut_at(deadline: float, forward: "Forward | None") -> Iterator[Callable[[], bool]]:
    """Cut the forward at the deadline; yield a function that returns whether that has happened."""

    def cut() -> None:
        if forward is not None:
            forward.close()

    with Deadline(deadline, cut) as interruption:
        try:
            yield lambda: interruption.is_late
        finally:
            cut()
