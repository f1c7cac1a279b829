"""A change of one guest over a libvirt connection of its own, so that a guest that hangs delays no other guest."""

import time
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING

from mclu_shell.cloud.nodes.branches import Branches
from mclu_shell.errors import ConnectionLost, LibvirtFault, MCluError, NodeFault, NodeOff

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.forward import Forward

# libvirt sends these to the guest's QEMU process, and waits for its answer without a limit.
QEMU_VERBS = frozenset({"resume", "wake", "shutdown", "reboot", "reset"})
# For these, libvirt asks the guest agent first, and waits a minute for it.
AGENT_VERBS = MappingProxyType({"shutdown": "shutdown by ACPI", "reboot": "reboot by ACPI"})


class GuestChanges:
    """The separate connections of one node; `branch` returns a URI and the forward that cuts it.

    `require_answer` raises NodeFault if the node or its libvirtd does not answer.
    """

    def __init__(
        self, node: str, branch: Callable[[], tuple[str, "Forward | None"]], require_answer: Callable[[], None]
    ) -> None:
        self._node = node
        self._branches = Branches(node, branch)
        self._require_answer = require_answer

    def make(self, name: str, verb: str, uuid: str, timeout_s: float) -> None:
        """Do a verb of `LibvirtClient.change` to a guest.

        If the connection is lost, or there is no answer in time, raise NodeFault for the node, its libvirtd or the
        guest's QEMU.
        """
        try:
            with self._branches.open(time.monotonic() + timeout_s) as branch:
                branch.client.change(name, verb, uuid)
        except TimeoutError as error:
            raise self._diagnose(name, self._hangs(name)) from error
        except ConnectionLost as error:
            raise self._diagnose(name, error.with_context()) from error

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
