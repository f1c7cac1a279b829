"""Delete guests for ever, with their data.

A guest's definition, its snapshots and saved memory, and the disks that mclu made for it are deleted. A disk
that mclu did not make, one that another guest uses or another image beside it is built on, and the file behind
a disk are never deleted: they are named.
Where another node has a guest of the same UUID, as after a migration on shared storage, no file is deleted.

  destroy web
  destroy 'ham1:test*' --yes
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from mclu_shell.argtypes import types
from mclu_shell.cloud.concurrency.fanout import Outcome, as_completed, gather
from mclu_shell.cloud.guests.find import find_guests
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.guest_name import has_wildcard
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import MCluError, NodeFault, Refused
from mclu_shell.output.results import Entry, Result, Text, would
from mclu_shell.output.text_renderer import printable
from mclu_shell.units import format_size

if TYPE_CHECKING:
    from mclu_shell.cloud.guests.destroy_plan import DestroyPlan
    from mclu_shell.cloud.guests.other_nodes import OtherNodes

GROUP = Group.MAKE
LINES = ("destroyed",)
_Doomed: TypeAlias = "Outcome[tuple[Node, Guest], DestroyPlan]"


def add_arguments(parser: Parser) -> None:
    """Guests or wildcards, and whether to ask."""
    parser.add_argument("guests", nargs="+", metavar="[HOST:]GUEST", type=types.GUEST, help="guest or wildcard")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line per guest, with what was kept of it."""
    _require_yes(context, args)
    faults: list[MCluError] = []
    found = find_guests(context.cloud, args.guests, faults=faults)
    if args.yes or context.confirm is None:
        yield from _destroy(context, [(node, guest, None) for node, guest in found], faults)
    else:
        yield from _ask_and_destroy(context, context.confirm, found, faults)
    yield from faults


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line per guest that would be destroyed, with the files that would go and stay."""
    # Only a dry run needs it.
    from mclu_shell.cloud.dryrun.destroy import dry_run_destroy

    _require_yes(context, args)
    faults: list[MCluError] = []
    found = find_guests(context.dry_run_cloud, args.guests, faults=faults)
    is_asked = context.confirm is not None and not args.yes
    told = {fault.place for fault in faults}
    planned = dry_run_destroy(context.dry_run_cloud, found, is_asked=is_asked)
    yield from (would(plan) for plan in planned if not (isinstance(plan, NodeFault) and plan.place in told))
    yield from faults


def _require_yes(context: Context, args: argparse.Namespace) -> None:
    if context.confirm is None and not args.yes and any(map(has_wildcard, args.guests)):
        raise Refused("a wildcard may mean more than you think", remedy="--yes destroys what it means")


def _ask_and_destroy(
    context: Context,
    confirm: Callable[[str], bool],
    found: Sequence[tuple[Node, Guest]],
    faults: Sequence[MCluError],
) -> Iterator[Result]:
    # Here and below: completion needs the arguments alone, and what destroys would take it 15 ms to import.
    from mclu_shell.cloud.guests.destroy_plan import plan_destroy
    from mclu_shell.cloud.guests.other_nodes import query_other_nodes

    elsewhere = query_other_nodes(context.cloud, [guest for _, guest in found])
    outcomes = gather(found, lambda one: plan_destroy(*one, elsewhere))
    yield from (outcome.error for outcome in outcomes if outcome.error)
    doomed = [outcome for outcome in outcomes if not outcome.error]
    if doomed and confirm(_question(doomed, elsewhere)):
        yield from _destroy(context, [(*outcome.item, outcome.unwrap()) for outcome in doomed], faults)
    else:
        yield Text("Nothing was destroyed.")


def _destroy(
    context: Context, doomed: Sequence[tuple[Node, Guest, "DestroyPlan | None"]], faults: Sequence[MCluError]
) -> Iterator[Result]:
    from mclu_shell.cloud.guests.destroy import destroy
    from mclu_shell.cloud.guests.other_nodes import query_other_nodes

    # Also if they were asked before: while the user thought it over, a guest may have been migrated.
    elsewhere = query_other_nodes(context.cloud, [guest for _, guest, _ in doomed])
    for outcome in as_completed(doomed, lambda one: destroy(one[0], one[1], elsewhere, one[2])):
        node, guest, _ = outcome.item
        yield outcome.error or _destroyed(node, guest, outcome.unwrap())
    told = {fault.place for fault in faults}
    yield from (fault for fault in elsewhere.faults if fault.place not in told)


def _destroyed(node: Node, guest: Guest, remains: "DestroyPlan") -> Entry:
    from mclu_shell.output.schema.destroyed import destroyed_record

    kept = tuple(f"kept: {file} ({why})" for file, why in remains.keep)
    return Entry(
        f"{node.name}:{guest.name}", "destroyed", kept, tone="quiet", data=partial(destroyed_record, guest, remains)
    )


def _question(doomed: Sequence[_Doomed], elsewhere: "OtherNodes") -> str:
    lines = []
    for outcome in doomed:
        (node, guest), remains = outcome.item, outcome.unwrap()
        lines.append(f"{guest.name} on {node.name} ({guest.state}), {format_size(remains.size_bytes)} on disk")
        lines += [f"  deleted: {file}" for file, _ in remains.delete]
        lines += [f"  kept: {file} ({why})" for file, why in remains.keep]
    lines += [f"{fault.place}: {fault.fact}" for fault in elsewhere.faults]
    asked = "Destroy it?" if len(doomed) == 1 else f"Destroy these {len(doomed)} guests?"
    # What others have named may hold what a terminal obeys.
    return "\n".join([*(printable(line) for line in lines), asked])
