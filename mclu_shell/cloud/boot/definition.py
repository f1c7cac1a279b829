"""The definition of a new guest, whose outcome may be unknown: libvirt finishes it even if its client has gone."""

import time
from typing import TYPE_CHECKING

from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import ConnectionLost, LibvirtDown, NodeFault

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.client import LibvirtClient

# libvirt only writes a file to define a guest. Ctrl-C has no effect during the call.
_TIMEOUT_S = 10.0
# After a timeout. libvirtd may first examine its emulators, which takes long on a slow node.
_SETTLE_S = 60.0
_POLL_S = 0.5


class Definition:
    """The definition of one guest on a node.

    `is_unknown` is true while libvirt may still define the guest, and `may_exist` also after it has.
    """

    def __init__(self, node: Node, uuid: str) -> None:
        self._node = node
        self._uuid = uuid
        self.is_unknown = False
        self._is_made = False

    @property
    def may_exist(self) -> bool:
        """True if libvirt has the guest, or may still define it."""
        return self.is_unknown or self._is_made

    def make(self, xml: str) -> None:
        """Define the guest; if libvirt does not answer in time, wait until it has the guest."""

        def send(client: "LibvirtClient") -> None:
            self.is_unknown = True
            client.define(xml)

        try:
            self._node.change(send, _TIMEOUT_S)
        except (LibvirtDown, ConnectionLost):
            if not self.is_unknown or not self.settle():
                raise
        except NodeFault:
            # libvirt has refused it.
            self.is_unknown = False
            raise
        self.is_unknown, self._is_made = False, True

    def settle(self) -> bool:
        """Wait until libvirt has the guest; return False if it has not after a minute, or has stopped."""
        deadline = time.monotonic() + _SETTLE_S
        while self.is_unknown and time.monotonic() < deadline:
            try:
                if self.exists():
                    self.is_unknown = False
                    return True
            except NodeFault as fault:
                # A request ends with its libvirtd.
                self.is_unknown = not (isinstance(fault, LibvirtDown) and fault.is_stopped)
            time.sleep(_POLL_S)
        return False

    def exists(self) -> bool:
        """Return whether libvirt has the guest."""
        return self._node.query(lambda client: client.has_guest(self._uuid))
