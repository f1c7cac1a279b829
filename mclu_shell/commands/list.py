"""List running guests and templates.

A guest's line shows its node and name, state, memory, virtual CPUs, and IP addresses if known. A template's line shows
its base image, memory and disk size. Guests on nodes that are off are not listed.

Examples:
  list              running guests and templates
  list --inactive   guests that are defined, but not running
"""

import argparse
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from mclu_shell.cloud.concurrency.fanout import Outcome, gather
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.snapshot import NodeView
from mclu_shell.cloud.templates.directories import unreadable_directories
from mclu_shell.cloud.templates.template import Template, find_templates, read_template_cached, template_name
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import MCluError, NodeOff
from mclu_shell.output.results import Result, Row, Table
from mclu_shell.output.schema.guest import guest_record
from mclu_shell.output.schema.template import broken_template_record, template_record
from mclu_shell.units import format_age, format_size

GROUP = Group.LOOK
DOCUMENT = ("guests", "templates")


def add_arguments(parser: Parser) -> None:
    """Add the options that select guests or templates; at most one may be given."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--active", action="store_const", dest="which", const="active", help="only running guests")
    which.add_argument(
        "--all",
        action="store_const",
        dest="which",
        const="all",
        help="running guests and templates (default)",
    )
    which.add_argument(
        "--inactive",
        action="store_const",
        dest="which",
        const="inactive",
        help="only guests that are not running",
    )
    which.add_argument("--templates", action="store_const", dest="which", const="templates", help="only templates")
    parser.set_defaults(which="all")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a table of guests, a table of templates, then the errors."""
    faults: list[MCluError] = []
    if args.which != "templates":
        yield _guests(context, active=args.which != "inactive", faults=faults)
    if args.which in ("all", "templates"):
        yield _templates(faults)
    yield from faults


def _guests(context: Context, *, active: bool, faults: list[MCluError]) -> Table:
    outcomes = context.cloud.query(lambda node: node.fetch_guests(active=active, addresses=active is not False))
    faults += [outcome.error for outcome in outcomes if outcome.error and not isinstance(outcome.error, NodeOff)]
    return Table(tuple(row for outcome in outcomes for row in _rows(outcome, active=active)))


def _rows(outcome: Outcome[Node, tuple[Guest, ...]], *, active: bool) -> list[Row]:
    """Return a row per guest; for a node that does not answer, its last known guests with their age."""
    if outcome.error is None:
        return [_guest(guest) for guest in outcome.unwrap()]
    if isinstance(outcome.error, NodeOff):
        return []
    view = outcome.item.view
    return [_guest(guest, view) for guest in view.guests if guest.is_active == active]


def _guest(guest: Guest, remembered: NodeView | None = None) -> Row:
    """Return a guest's row; `remembered` is the cached view that the guest comes from, if any."""
    cells = (
        f"{guest.node}:{guest.name}",
        str(guest.condition),
        format_size(guest.memory_bytes),
        f"{guest.vcpus}vcpus",
        " ".join(guest.addresses),
        f"{format_age(remembered.age_s)} ago" if remembered else "",
    )
    data = partial(guest_record, guest, remembered.seen_at if remembered else None)
    return Row(cells, tone="plain" if guest.is_active else "quiet", data=data)


def _templates(faults: list[MCluError]) -> Table:
    faults += unreadable_directories()
    outcomes = gather(find_templates(), read_template_cached)
    faults += [outcome.error for outcome in outcomes if outcome.error]
    return Table(tuple(_template(outcome) for outcome in outcomes))


def _template(outcome: Outcome[Path, Template]) -> Row:
    template, path = outcome.value, outcome.item
    if template is None:
        name = template_name(path)
        return Row((name, "broken template"), tone="bad", data=partial(broken_template_record, name, path))
    cells = (template.name, "template", template.base_image, " ".join(_requirements(template)))
    return Row(cells, data=partial(template_record, template))


def _requirements(template: Template) -> Iterable[str]:
    if template.minimum_memory_bytes:
        yield f"memory>={format_size(template.minimum_memory_bytes)}"
    if template.recommended_memory_bytes:
        yield f"memory={format_size(template.recommended_memory_bytes)}"
    if template.minimum_size_bytes:
        yield f"size>={format_size(template.minimum_size_bytes)}"
