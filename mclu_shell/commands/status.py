"""Show which nodes are on, and their CPUs and memory.

All nodes are queried in parallel. Lines of a node that is on:
  total:  physical CPUs and memory
  used:   running guests, with the virtual CPUs and memory they may use
  halted: those of them that do not run: paused, crashed or suspended
  free:   memory for a new guest; boots in progress have reserved theirs

If a node is on but does not answer, the reason is shown. The interactive shell adds the last known figures and their
age.

Examples:
  status          all nodes
  status 'ham*'   some
"""

import argparse
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from mclu_shell.argtypes import types
from mclu_shell.cloud.state.guest import NodeReport
from mclu_shell.cloud.state.snapshot import NodeView
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import NodeFault, NodeOff
from mclu_shell.output.results import Entry, Result
from mclu_shell.units import format_age, format_size

if TYPE_CHECKING:
    from mclu_shell.output.schema.record import Record

# A line has room for these.
_MOST_HALTED = 5

GROUP = Group.LOOK
DOCUMENT = ("nodes",)


def add_arguments(parser: Parser) -> None:
    """Add nodes or wildcards; none means all."""
    parser.add_argument("nodes", nargs="*", metavar="NODE", type=types.NODE, help="node or wildcard (default: all)")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield an entry per node, then the errors with their remedies."""
    cloud = context.cloud
    faults = []
    nodes = cloud.match(args.nodes) if args.nodes else None
    # Show each node as soon as those before it have answered, even if a later one hangs.
    for outcome in cloud.query_in_order(lambda node: node.fetch_report(), nodes):
        name = outcome.item.name
        if isinstance(outcome.error, NodeOff):
            yield Entry(name, "off", tone="quiet", data=partial(_record, name, "off"))
        elif isinstance(outcome.error, NodeFault):
            yield _faulty(outcome.item.view, outcome.error)
            faults.append(outcome.error)
        else:
            report = outcome.unwrap()
            yield Entry(name, "on", _details(report), tone="good", data=partial(_record, name, "on", report))
    yield from faults


def _faulty(view: NodeView, fault: NodeFault) -> Entry:
    """Return the entry of a node that does not answer, with its last known figures and their age."""
    state = f"{fault.power}, {fault.fact}"
    details = (f"{format_age(view.age_s)} ago:", *_details(view.report)) if view.report is not None else ()
    data = partial(_record, view.name, fault.power, view.report, fault=fault.fact, seen_at=view.seen_at)
    return Entry(view.name, state, details, tone="bad", data=data)


def _record(
    name: str, power: str, report: NodeReport | None = None, *, fault: str | None = None, seen_at: float | None = None
) -> "Record":
    # Only -o json needs the records.
    from mclu_shell.output.schema.node import NodeRecord
    from mclu_shell.output.schema.record import iso_time

    if report is None:
        return NodeRecord(name, power, fault)
    return NodeRecord(
        name,
        power,
        fault,
        pcpus=report.info.pcpus,
        memory_bytes=report.info.memory_bytes,
        used_guests=len(report.running),
        used_vcpus=report.used_vcpus,
        used_bytes=report.used_bytes,
        halted_guests=tuple(guest.name for guest in report.halted),
        free_bytes=report.free_bytes,
        as_of=iso_time(seen_at),
    )


def _details(report: NodeReport) -> tuple[str, ...]:
    total = f"total: {report.info.pcpus}pcpus {format_size(report.info.memory_bytes)}"
    free = f"free: {format_size(report.free_bytes)}"
    if not report.running:
        return total, free
    used = f"used:  {len(report.running)}guests {report.used_vcpus}vcpus {format_size(report.used_bytes)}"
    halted = f"halted: {', '.join(_halted(report))}" if report.halted else ""
    return tuple(filter(None, (total, used, halted, free)))


def _halted(report: NodeReport) -> list[str]:
    """Return the names and conditions of guests that use memory, but do not run."""
    names = [f"{guest.name} {guest.condition}" for guest in report.halted[:_MOST_HALTED]]
    more = len(report.halted) - len(names)
    return [*names, f"{more} more"] if more else names
