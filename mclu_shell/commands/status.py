"""Show which nodes are on, and what they have.

All nodes are asked at once. For a node that is on: the physical CPUs and the memory that it has in
all, what its running guests may use of them, and the memory that a new guest can have. A node that
is on but does not answer says why; the interactive shell then adds what it knew last, and how long ago.

  status          all nodes
  status 'ham*'   some
"""

import argparse
from collections.abc import Iterator

from mclu_shell import kinds
from mclu_shell.cloud.guest import NodeReport
from mclu_shell.cloud.state import NodeView
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import NodeFault, NodeOff
from mclu_shell.results import Entry, Result
from mclu_shell.units import format_age, format_size

GROUP = Group.LOOK


def add_arguments(parser: Parser) -> None:
    """Nodes or wildcards, if not all are meant."""
    parser.add_argument("nodes", nargs="*", metavar="NODE", type=kinds.NODE, help="node or wildcard (default: all)")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """An entry per node, then the faults with what to do about them."""
    cloud = context.cloud
    outcomes = cloud.ask(lambda node: node.fetch_report(), cloud.match(args.nodes) if args.nodes else None)
    faults = []
    for outcome in outcomes:
        if isinstance(outcome.error, NodeOff):
            yield Entry(outcome.item.name, "off", tone="quiet")
        elif isinstance(outcome.error, NodeFault):
            known = _from_memory(outcome.item.view)
            yield Entry(outcome.item.name, f"{outcome.error.power}, {outcome.error.fact}", known, tone="bad")
            faults.append(outcome.error)
        else:
            yield Entry(outcome.item.name, "on", _details(outcome.unwrap()), tone="good")
    yield from faults


def _from_memory(view: NodeView) -> tuple[str, ...]:
    """What the interactive shell knows of a node that does not answer, and how old that is."""
    return (f"{format_age(view.age_s)} ago:", *_details(view.report)) if view.report is not None else ()


def _details(report: NodeReport) -> tuple[str, ...]:
    total = f"total: {report.info.pcpus}pcpus {format_size(report.info.memory_bytes)}"
    free = f"free: {format_size(report.free_bytes)}"
    if not report.running:
        return total, free
    used = f"used:  {len(report.running)}guests {report.used_vcpus}vcpus {format_size(report.used_bytes)}"
    return total, used, free
