"""The check of mclu.conf, which needs no answer of the node."""

from collections.abc import Sequence

from mclu_shell.cloud.doctor.finding import Finding, fault, ok
from mclu_shell.config import NodeConfig


def check_configuration(node: NodeConfig, others: Sequence[NodeConfig]) -> Finding:
    """Check that no other node has the MAC address: one packet would wake both."""
    twins = [other.name for other in others if node.mac is not None and other.mac == node.mac]
    if twins:
        return fault(f"{' and '.join(twins)} has the same mac={node.mac}", "correct mac= in mclu.conf")
    return ok("mac= is unique" if node.mac else "no mac=, so 'on' cannot wake it")
