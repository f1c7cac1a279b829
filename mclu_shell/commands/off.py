"""Switch nodes off cleanly, unless guests run on them.

All named nodes are checked first. If a guest runs on one of them, or one does not answer, none is switched off. Each
node is checked again right before it gets the poweroff command over SSH (with sudo if the SSH user is not root). It is
reported as off when it no longer answers.

Examples:
  off ham1
  off 'ham*'
"""

import argparse
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from mclu_shell.argtypes import types
from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.power import check_power_off, switch_off
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import NodeOff
from mclu_shell.output.results import Entry, Result, would
from mclu_shell.output.schema.power import Power

if TYPE_CHECKING:
    from mclu_shell.cloud.concurrency.fanout import Outcome
    from mclu_shell.cloud.nodes.node import Node

GROUP = Group.NODES
LINES = ("power",)


def add_arguments(parser: Parser) -> None:
    """Add nodes or wildcards."""
    parser.add_argument("nodes", nargs="+", metavar="NODE", type=types.NODE_TO_SWITCH_OFF, help="node or wildcard")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per node as it goes down."""
    nodes = context.cloud.match(args.nodes)
    checks = check_power_off(context.cloud, nodes)
    if any(_objects(outcome) for outcome in checks):
        yield from map(_left, checks)
        return
    pending = [node.name for node in nodes]
    context.notify(f"waiting for {', '.join(pending)} to go down")
    for outcome in switch_off(nodes, CancelScope()):
        pending.remove(outcome.item.name)
        yield outcome.error or _entry(outcome.item, "off", "off")
        context.notify(f"waiting for {', '.join(pending)} to go down" if pending else "")


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per node that would be switched off, or the errors that prevent it."""
    from mclu_shell.cloud.dryrun.power import dry_run_off

    cloud = context.dry_run_cloud
    yield from map(would, dry_run_off(cloud, cloud.match(args.nodes)))


def _objects(outcome: "Outcome[Node, None]") -> bool:
    return outcome.error is not None and not isinstance(outcome.error, NodeOff)


def _left(outcome: "Outcome[Node, None]") -> Result:
    """Return the state of a node after a check failed: its own error, off, or left on."""
    if outcome.error is not None and _objects(outcome):
        return outcome.error
    return _entry(outcome.item, "off", "off") if outcome.error else _entry(outcome.item, "on", "left on")


def _entry(node: "Node", power: str, state: str) -> Entry:
    return Entry(node.name, state, tone="quiet", data=partial(Power, node.name, power))
