"""The last known state of the cloud: immutable records, replaced in one step and read without a lock."""

import math
import time
from enum import StrEnum
from typing import NamedTuple

from mclu_shell.cloud.state.guest import Guest, NodeInfo, NodeReport
from mclu_shell.errors import ConnectionLost, NodeFault, NodeOff


class Phase(StrEnum):
    """The state of a node after its last query."""

    UNSEEN = "not queried yet"
    CONNECTING = "connecting"
    ON = "on"
    OFF = "off"
    FAULTY = "faulty"
    LOST = "link lost"


class NodeState(NamedTuple):
    """A node's phase, the reason for it, and its beginning (of `time.monotonic`)."""

    phase: Phase
    since_s: float
    why: str = ""


def phase_of(fault: NodeFault) -> Phase:
    """Return the phase of a node after a fault."""
    if isinstance(fault, NodeOff):
        return Phase.OFF
    return Phase.LOST if isinstance(fault, ConnectionLost) else Phase.FAULTY


class NodeView(NamedTuple):
    """The last known state of a node, with its guests by name.

    `seen_at` (of `time.time`) is the time when the guests were last confirmed, None if never. `half` is True if only
    the running guests are known, False if only the others are, and None if all are.
    """

    name: str
    state: NodeState
    guests: tuple[Guest, ...] = ()
    info: NodeInfo | None = None
    seen_at: float | None = None
    half: bool | None = None

    @property
    def report(self) -> NodeReport | None:
        """The last known resources and guests; None if unknown."""
        return None if self.info is None else NodeReport(self.info, self.guests)

    @property
    def free_bytes(self) -> int | None:
        """The last known memory for a new guest; None if unknown."""
        return None if self.report is None else self.report.free_bytes

    @property
    def age_s(self) -> float:
        """Seconds since the guests were last confirmed."""
        return math.inf if self.seen_at is None else time.time() - self.seen_at


class Snapshot(NamedTuple):
    """The last known state of all nodes, in configuration order."""

    nodes: tuple[NodeView, ...]
