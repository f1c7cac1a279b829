"""Guest agents of a node, asked over libvirt connections of their own: libvirt has no short timeout for them.

After one request without an answer, libvirt waits for the agent 5 s before each further one (qemuAgentGuestSync). A
request of another client to the same agent comes first.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from mclu_shell.cloud.concurrency.deadline import Deadline
from mclu_shell.cloud.nodes.branches import Branches
from mclu_shell.errors import NodeFault

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.addresses import Address
    from mclu_shell.cloud.transport.forward import Forward

# For all agents of a request together.
_TIMEOUT_S = 2.0


class GuestAgents:
    """The guest agents of one node; `branch` as for `Branches`, `open_timeout_s` for the connection."""

    def __init__(self, node: str, branch: Callable[[], tuple[str, "Forward | None"]], open_timeout_s: float) -> None:
        self._branches = Branches(node, branch)
        self._open_timeout_s = open_timeout_s

    def fetch_addresses(self, agents: Mapping[str, Sequence[str]]) -> "dict[str, tuple[Address, ...]]":
        """Return the addresses that agents report in time; see `LibvirtClient.fetch_agent_addresses`."""
        with (
            suppress(NodeFault, TimeoutError),
            self._branches.open(time.monotonic() + self._open_timeout_s + _TIMEOUT_S) as branch,
            Deadline(time.monotonic() + _TIMEOUT_S, branch.cut),
        ):
            return branch.client.fetch_agent_addresses(agents)
        return {}

    def is_hung(self, uuid: str) -> bool:
        """Return whether a guest's agent is connected, but does not answer in time."""
        with (
            suppress(NodeFault, TimeoutError),
            self._branches.open(time.monotonic() + self._open_timeout_s + _TIMEOUT_S) as branch,
            Deadline(time.monotonic() + _TIMEOUT_S, branch.cut),
        ):
            return branch.client.is_agent_hung(uuid)
        return True
