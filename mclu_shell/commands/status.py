"""Show which nodes are on, and their CPUs and memory.

All nodes are queried in parallel. Lines of a node that is on:
  total:  physical CPUs and memory
  used:   running guests, with the virtual CPUs and memory they may use
  halted: those of them that do not run: paused, crashed or suspended
  free:   memory for a new guest; boots in progress have reserved theirs

If a node is on but does not answer, the reason is shown. The interactive shell adds the last known figures and their
age.

A terminal adds a bar: the memory that guests may use, of the total. --columns shows a table instead.

Columns:
  node state pcpus memory guests vcpus used free seen

Examples:
  status                        all nodes
  status 'ham*'                 some
  status --sort free --watch    the most free memory first, until you press q
  status --columns node,free    a table of these columns
"""

import argparse
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from mclu_shell.argtypes import types
from mclu_shell.argtypes.view_options import add_view_options
from mclu_shell.cloud.concurrency.fanout import Outcome
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import NodeReport
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import NodeFault, NodeOff
from mclu_shell.output.results import Entry, Meter, Result, Row, Watch
from mclu_shell.output.tables.column import View, column_names
from mclu_shell.output.tables.nodes import NODE_COLUMNS, ListedNode
from mclu_shell.units import format_size

if TYPE_CHECKING:
    from mclu_shell.output.schema.record import Record

# A line has room for these.
_MOST_HALTED = 5

GROUP = Group.LOOK
DOCUMENT = ("nodes",)


def add_arguments(parser: Parser) -> None:
    """Add nodes or wildcards, none means all, and the options of tables."""
    parser.add_argument("nodes", nargs="*", metavar="NODE", type=types.NODE, help="node or wildcard (default: all)")
    add_view_options(parser, column_names(NODE_COLUMNS))


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield an entry per node, or a table of them, then the errors with their remedies."""
    cloud = context.cloud
    nodes = cloud.match(args.nodes) if args.nodes else None
    view = View(args.sort, args.columns, context.is_styled)
    if args.watch is not None:
        yield Watch(cloud.polls(lambda node: node.fetch_report(), nodes, args.watch), partial(_answer, view))
        return
    outcomes = context.query_in_order(lambda node: node.fetch_report(), nodes)
    yield from _answer(view, ((outcome.item, outcome) for outcome in outcomes))


def _answer(view: View, outcomes: Iterable[tuple[Node, Outcome[Node, NodeReport] | None]]) -> Iterator[Result]:
    faults = []
    listed = []
    for node, outcome in outcomes:
        fault = outcome.error if outcome else None
        if isinstance(fault, NodeFault) and not isinstance(fault, NodeOff):
            faults.append(fault)
        item = _listed(node, outcome)
        if view.sort is None and view.columns is None:
            # Show each node as soon as those before it have answered, even if a later one hangs.
            yield _entry(item)
        listed.append(item)
    if view.columns is not None:
        yield view.table(listed, NODE_COLUMNS, _row)
    elif view.sort is not None:
        yield from map(_entry, view.sorted(listed, NODE_COLUMNS))
    yield from faults


def _listed(node: Node, outcome: Outcome[Node, NodeReport] | None) -> ListedNode:
    """Return a node's item; if it does not answer, with its last known figures."""
    view = node.view
    if outcome is None and view.state.phase != Phase.OFF:
        return ListedNode(node.name, "unknown", "quiet", "connecting", view.report, view.seen_at)
    fault = outcome.error if outcome else None
    if outcome is None or isinstance(fault, NodeOff):
        return ListedNode(node.name, "off", "quiet")
    if isinstance(fault, NodeFault):
        return ListedNode(node.name, fault.power, "bad", fault.fact, view.report, view.seen_at)
    return ListedNode(node.name, "on", "good", report=outcome.unwrap())


def _entry(item: ListedNode) -> Entry:
    details = _details(item.report) if item.report else ()
    age = (f"{item.age}:",) if item.age else ()
    return Entry(item.name, item.state, (*age, *details), tone=item.tone, data=partial(_record, item))


def _row(item: ListedNode) -> Row:
    return Row((), data=partial(_record, item))


def _record(item: ListedNode) -> "Record":
    # Only -o json needs the records.
    from mclu_shell.output.schema.node import NodeRecord
    from mclu_shell.output.schema.record import iso_time

    report = item.report
    if report is None:
        return NodeRecord(item.name, item.power, item.fault)
    return NodeRecord(
        item.name,
        item.power,
        item.fault,
        pcpus=report.info.pcpus,
        memory_bytes=report.info.memory_bytes,
        used_guests=len(report.running),
        used_vcpus=report.used_vcpus,
        used_bytes=report.used_bytes,
        halted_guests=tuple(guest.name for guest in report.halted),
        free_bytes=report.free_bytes,
        as_of=iso_time(item.seen_at),
    )


def _details(report: NodeReport) -> tuple[str | Meter, ...]:
    total = f"total: {report.info.pcpus}pcpus {format_size(report.info.memory_bytes)}"
    free = f"free: {format_size(report.free_bytes)}"
    if not report.running:
        return total, free
    text = f"used:  {len(report.running)}guests {report.used_vcpus}vcpus {format_size(report.used_bytes)}"
    # A simulated node may have no memory.
    used = Meter(text, report.used_bytes / max(1, report.info.memory_bytes))
    halted = (f"halted: {', '.join(_halted(report))}",) if report.halted else ()
    return total, used, *halted, free


def _halted(report: NodeReport) -> list[str]:
    """Return the names and conditions of guests that use memory, but do not run."""
    names = [f"{guest.name} {guest.condition}" for guest in report.halted[:_MOST_HALTED]]
    more = len(report.halted) - len(names)
    return [*names, f"{more} more"] if more else names
