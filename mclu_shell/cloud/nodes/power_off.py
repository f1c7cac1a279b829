"""Power-off of one node: send the order, and wait until nothing answers at its address."""

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.state.expected import ExpectedChanges
from mclu_shell.cloud.transport.base import PowerControl
from mclu_shell.config import NodeConfig
from mclu_shell.errors import Interrupted, MCluError, NodeFault, Unreachable
from mclu_shell.units import format_duration

# The interval of the checks while the node goes down.
_POLL_S = 0.25


def power_off_and_wait(
    node: NodeConfig, power: PowerControl, expected: ExpectedChanges, timeout_s: float, scope: CancelScope
) -> None:
    """Power the node off and wait until it is off; raise Interrupted if `scope` is cancelled first.

    Raise NodeFault if the node still answers after `timeout_s`, Unreachable if its state cannot be checked.
    """
    if scope.is_cancelled:
        raise Interrupted("not switched off: interrupted", place=node.name)
    scope = scope.limit(timeout_s)
    expected.add_power_off()
    try:
        power.power_off()
    except MCluError:
        expected.remove_power_off()
        raise
    while not _is_off(node, power):
        if scope.is_cancelled:
            raise Interrupted("poweroff was sent, but the node still answers: interrupted", place=node.name)
        if scope.is_over:
            fact = f"poweroff was sent, but the node still answers after {format_duration(timeout_s)}"
            raise NodeFault(fact, place=node.name)
        scope.sleep(_POLL_S)


def _is_off(node: NodeConfig, power: PowerControl) -> bool:
    try:
        return power.is_off(node.connect_timeout)
    except Unreachable as fault:
        # The node's jump host may be going down, too.
        fact = f"poweroff was sent, but the node's state is unknown: {fault.fact}"
        raise Unreachable(fact, place=node.name, remedy=fault.remedy) from fault
