"""List running guests and templates.

A guest's line shows its node and name, state, memory, virtual CPUs, and IP addresses if known; a terminal also shows
its template. A template's line shows its base image, memory and disk size. Guests on nodes that are off are not listed.

--sort and --columns apply to guests, or with --templates to templates. With --columns, other tables are left out.

Columns:
  guest node state memory vcpus address template seen
  template image memory min-memory min-size             (with --templates)

Examples:
  list                            running guests and templates
  list --inactive                 guests that are defined, but not running
  list --sort memory --watch      the largest guests first, until you press q
  list --columns guest,address    a table of these columns
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TypeAlias

from mclu_shell.argtypes.view_options import add_view_options
from mclu_shell.cloud.concurrency.fanout import Outcome, gather
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.templates.directories import unreadable_directories
from mclu_shell.cloud.templates.template import Template, find_templates, read_template_cached, template_name
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import MCluError, NodeOff
from mclu_shell.output.results import Result, Row, Table, Watch
from mclu_shell.output.schema.guest import guest_record
from mclu_shell.output.schema.template import broken_template_record, template_record
from mclu_shell.output.tables.column import View, column_names
from mclu_shell.output.tables.guests import GUEST_COLUMNS, ListedGuest
from mclu_shell.output.tables.templates import TEMPLATE_COLUMNS, ReadTemplate
from mclu_shell.units import format_size

GROUP = Group.LOOK
DOCUMENT = ("guests", "templates")

_Guests: TypeAlias = tuple[ListedGuest, ...]


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
    add_view_options(parser, column_names(GUEST_COLUMNS, TEMPLATE_COLUMNS))


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a table of guests, a table of templates, then the errors."""
    view = View(args.sort, args.columns, context.is_styled)
    view.check(TEMPLATE_COLUMNS if args.which == "templates" else GUEST_COLUMNS)
    nodes = () if args.which == "templates" else context.cloud.nodes
    has_templates = "template" in args.columns if args.columns else context.is_styled
    fetch = partial(_fetch, active=args.which != "inactive", has_templates=has_templates or args.sort == "template")
    if args.watch is not None:
        yield Watch(context.cloud.polls(fetch, nodes, args.watch), partial(_answer, args.which, view))
        return
    outcomes = context.query_in_order(fetch, nodes)
    yield from _answer(args.which, view, [(outcome.item, outcome) for outcome in outcomes])


def _fetch(node: Node, *, active: bool, has_templates: bool) -> _Guests:
    guests = node.fetch_guests(active=active, addresses=active)
    templates = node.fetch_templates() if has_templates and guests else {}
    return tuple(ListedGuest(guest, templates.get(guest.uuid, "")) for guest in guests)


def _answer(which: str, view: View, outcomes: Sequence[tuple[Node, Outcome[Node, _Guests] | None]]) -> Iterator[Result]:
    faults = [outcome.error for _, outcome in outcomes if outcome and outcome.error]
    faults = [fault for fault in faults if not isinstance(fault, NodeOff)]
    if which != "templates":
        items = [item for node, outcome in outcomes for item in _items(node, outcome, active=which != "inactive")]
        yield view.table(items, GUEST_COLUMNS, _guest_row)
    if which == "templates":
        yield _templates(view, faults)
    elif which == "all" and view.columns is None:
        # The order is that of guests.
        yield _templates(view._replace(sort=None), faults)
    yield from faults


def _items(node: Node, outcome: Outcome[Node, _Guests] | None, *, active: bool) -> Iterable[ListedGuest]:
    """Return the guests of a node; if it does not answer, those last known."""
    if outcome is not None and outcome.error is None:
        return outcome.unwrap()
    if outcome is not None and isinstance(outcome.error, NodeOff):
        return ()
    view = node.view
    # A watch whose node is just answering has data of this moment.
    cached = view if outcome is not None or view.age_s >= 1 else None
    return [ListedGuest(guest, cached=cached) for guest in view.guests if guest.is_active == active]


def _guest_row(item: ListedGuest) -> Row:
    guest = item.guest
    cells = (
        item.name,
        str(guest.condition),
        format_size(guest.memory_bytes),
        f"{guest.vcpus}vcpus",
        " ".join(guest.addresses),
        item.age,
    )
    data = partial(guest_record, guest, item.cached.seen_at if item.cached else None)
    return Row(cells, tone="plain" if guest.is_active else "quiet", data=data)


def _templates(view: View, faults: list[MCluError]) -> Table:
    faults += unreadable_directories()
    outcomes = gather(find_templates(), read_template_cached)
    faults += [outcome.error for outcome in outcomes if outcome.error]
    return view.table(outcomes, TEMPLATE_COLUMNS, _template_row)


def _template_row(outcome: ReadTemplate) -> Row:
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
