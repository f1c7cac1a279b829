"""Power-off of one node: send the order, and wait until nothing answers at its address."""

import threading
import time

from mclu_shell.cloud.state.expected import ExpectedChanges
from mclu_shell.cloud.transport.base import PowerControl
from mclu_shell.config import NodeConfig
from mclu_shell.errors import Interrupted, MCluError, NodeFault, Unreachable
from mclu_shell.units import format_duration

# The interval of the checks while the node goes down.
_POLL_S = 0.25


def power_off_and_wait(
    node: NodeConfig, power: PowerControl, expected: ExpectedChanges, timeout_s: float, stop: threading.Event
) -> None:
    """Power the node off and wait until it is off; raise Interrupted if `stop` is set first.

    Raise NodeFault if the node still answers after `timeout_s`, Unreachable if its state cannot be checked.
    """
    if stop.is_set():
        raise Interrupted("not switched off: interrupted", place=node.name)
    deadline = time.monotonic() + timeout_s
    expected.add_power_off()
    try:
        power.power_off()
    except MCluError:
        expected.remove_power_off()
        raise
    while not _is_off(node, power):
        if time.monotonic() >= deadline:
            fact = f"poweroff was sent, but the node still answers after {format_duration(timeout_s)}"
            raise NodeFault(fact, place=node.name)
        if stop.wait(_POLL_S):
            raise Interrupted("poweroff was sent, but the node still answers: interrupted", place=node.name)


def _is_off(node: NodeConfig, power: PowerControl) -> bool:
    try:
        return power.is_off(node.connect_timeout)
    except Unreachable as fault:
        # The node's jump host may be going down, too.
        fact = f"poweroff was sent, but the node's state is unknown: {fault.fact}"
        raise Unreachable(fact, place=node.name, remedy=fault.remedy) from fault
