"""Switch nodes off cleanly, unless guests run on them.

All the nodes named are looked at first: if a guest runs on one of them, or one cannot be asked, none is
switched off. Each is looked at again right before it is told to power off, over SSH (with sudo if the
user there is not root), and reported as off when it no longer answers.

  off ham1
  off 'ham*'
"""

import argparse
import threading
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from mclu_shell.argtypes import types
from mclu_shell.cloud.power import look_before_off, switch_off
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
    """Nodes or wildcards."""
    parser.add_argument("nodes", nargs="+", metavar="NODE", type=types.NODE_TO_SWITCH_OFF, help="node or wildcard")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line per node that is off, as it goes down."""
    nodes = context.cloud.match(args.nodes)
    looked = look_before_off(context.cloud, nodes)
    if any(_objects(outcome) for outcome in looked):
        yield from map(_left, looked)
        return
    down = [node.name for node in nodes]
    stop = threading.Event()
    try:
        context.notify(f"waiting for {', '.join(down)} to go down")
        for outcome in switch_off(nodes, stop):
            down.remove(outcome.item.name)
            yield outcome.error or _now(outcome.item, "off", "off")
            context.notify(f"waiting for {', '.join(down)} to go down" if down else "")
    finally:
        stop.set()


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line per node that would be switched off, or why none would be."""
    # Only a dry run needs it.
    from mclu_shell.cloud.dryrun.power import dry_run_off

    cloud = context.dry_run_cloud
    yield from map(would, dry_run_off(cloud, cloud.match(args.nodes)))


def _objects(outcome: "Outcome[Node, None]") -> bool:
    return outcome.error is not None and not isinstance(outcome.error, NodeOff)


def _left(outcome: "Outcome[Node, None]") -> Result:
    """How a node is left where none is switched off, because of it or of another."""
    if outcome.error is not None and _objects(outcome):
        return outcome.error
    return _now(outcome.item, "off", "off") if outcome.error else _now(outcome.item, "on", "left on")


def _now(node: "Node", power: str, words: str) -> Entry:
    return Entry(node.name, words, tone="quiet", data=partial(Power, node.name, power))
