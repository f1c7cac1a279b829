"""What is known of the cloud without asking it: frozen records, swapped in one step, read without a lock."""

import math
import time
from enum import StrEnum
from typing import NamedTuple

from mclu_shell.cloud.state.guest import Guest, NodeInfo, NodeReport
from mclu_shell.errors import ConnectionLost, NodeFault, NodeOff


class Phase(StrEnum):
    """How a node stood when it was last asked."""

    UNSEEN = "not asked yet"
    CONNECTING = "connecting"
    ON = "on"
    OFF = "off"
    FAULTY = "faulty"
    LOST = "link lost"


class NodeState(NamedTuple):
    """A node's phase, why, and since when (seconds of `time.monotonic`)."""

    phase: Phase
    since_s: float
    why: str = ""


def phase_of(fault: NodeFault) -> Phase:
    """The phase that a fault puts its node in."""
    if isinstance(fault, NodeOff):
        return Phase.OFF
    return Phase.LOST if isinstance(fault, ConnectionLost) else Phase.FAULTY


class NodeView(NamedTuple):
    """A node as last seen, with its guests, by name, as last listed.

    `seen_at` (of `time.time`) is when the guests were last known to be these; None if they never were. `half` tells of
    which alone that is known: of the running (True) or of the others (False); None where of all.
    """

    name: str
    state: NodeState
    guests: tuple[Guest, ...] = ()
    info: NodeInfo | None = None
    seen_at: float | None = None
    half: bool | None = None

    @property
    def report(self) -> NodeReport | None:
        """Its resources and guests, as last seen; None where they are not known."""
        return None if self.info is None else NodeReport(self.info, self.guests)

    @property
    def free_bytes(self) -> int | None:
        """What a new guest could have, as last seen; None where it is not known."""
        return None if self.report is None else self.report.free_bytes

    @property
    def age_s(self) -> float:
        """How long ago its guests were last known to be these."""
        return math.inf if self.seen_at is None else time.time() - self.seen_at


class Snapshot(NamedTuple):
    """All nodes as last seen, in configuration order."""

    nodes: tuple[NodeView, ...]
