"""Delete guests and their disks permanently.

If standard input and standard error are terminals, the command lists the files and asks first. In pipes, scripts and
cron jobs it does not ask, and wildcards require --yes.

Deleted:
  definition, snapshots and saved memory of the guest
  disks that mclu created for it

Kept, and listed with the reason:
  disks that mclu did not create
  disks that another guest uses, or another image in their directory
  backing files of disks
  all files, if a guest on another node has the same UUID (as after
    a migration on shared storage)

Examples:
  destroy web
  destroy 'ham1:test*' --yes
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from mclu_shell.argtypes import types
from mclu_shell.cloud.concurrency.fanout import Outcome, gather
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
_Planned: TypeAlias = "Outcome[tuple[Node, Guest], DestroyPlan]"


def add_arguments(parser: Parser) -> None:
    """Add guests or wildcards, and --yes."""
    parser.add_argument("guests", nargs="+", metavar="[HOST:]GUEST", type=types.GUEST, help="guest or wildcard")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per destroyed guest, with the files that were kept."""
    _require_yes(context, args)
    faults: list[MCluError] = []
    guests = find_guests(context.cloud, args.guests, faults=faults)
    if args.yes or context.confirm is None:
        yield from _destroy(context, [(node, guest, None) for node, guest in guests], faults)
    else:
        yield from _ask_and_destroy(context, context.confirm, guests, faults)


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per guest that would be destroyed, with the files to delete and to keep."""
    from mclu_shell.cloud.dryrun.destroy import dry_run_destroy

    _require_yes(context, args)
    faults: list[MCluError] = []
    guests = find_guests(context.dry_run_cloud, args.guests, faults=faults)
    is_asked = context.confirm is not None and not args.yes
    reported = {fault.place for fault in faults}
    planned = dry_run_destroy(context.dry_run_cloud, guests, is_asked=is_asked)
    yield from (would(plan) for plan in planned if not (isinstance(plan, NodeFault) and plan.place in reported))
    yield from faults


def _require_yes(context: Context, args: argparse.Namespace) -> None:
    if context.confirm is None and not args.yes and any(map(has_wildcard, args.guests)):
        raise Refused("destroying by wildcard requires confirmation", remedy="add --yes, or name the guests")


def _ask_and_destroy(
    context: Context,
    confirm: Callable[[str], bool],
    guests: Sequence[tuple[Node, Guest]],
    faults: Sequence[MCluError],
) -> Iterator[Result]:
    # Here and below: completion needs only the arguments; these imports take 15 ms.
    from mclu_shell.cloud.guests.destroy_plan import plan_destroy
    from mclu_shell.cloud.guests.other_nodes import query_other_nodes

    others = query_other_nodes(context.cloud, [guest for _, guest in guests])
    outcomes = gather(guests, lambda item: plan_destroy(*item, others))
    yield from (outcome.error for outcome in outcomes if outcome.error)
    plans = [outcome for outcome in outcomes if not outcome.error]
    if plans and confirm(_question(plans, others)):
        yield from _destroy(context, [(*outcome.item, outcome.unwrap()) for outcome in plans], faults)
    else:
        yield from faults
        yield Text("Nothing was destroyed.")


def _destroy(
    context: Context, targets: Sequence[tuple[Node, Guest, "DestroyPlan | None"]], faults: Sequence[MCluError]
) -> Iterator[Result]:
    from mclu_shell.cloud.guests.changes import change_guests
    from mclu_shell.cloud.guests.destroy import destroy
    from mclu_shell.cloud.guests.other_nodes import query_other_nodes

    # Again after the confirmation: a guest may have been migrated since.
    others = query_other_nodes(context.cloud, [guest for _, guest, _ in targets])
    # Before the changes: after an interrupt, nothing follows them.
    yield from faults
    reported = {fault.place for fault in faults}
    yield from (fault for fault in others.faults if fault.place not in reported)
    confirmed = {guest: plan for _, guest, plan in targets}
    guests = [(node, guest) for node, guest, _ in targets]
    for outcome in change_guests(guests, lambda node, guest: destroy(node, guest, others, confirmed[guest])):
        yield outcome.error or _destroyed(*outcome.item, outcome.unwrap())


def _destroyed(node: Node, guest: Guest, plan: "DestroyPlan") -> Entry:
    from mclu_shell.output.schema.destroyed import destroyed_record

    kept = tuple(f"kept: {file} ({why})" for file, why in plan.keep)
    return Entry(
        f"{node.name}:{guest.name}", "destroyed", kept, tone="quiet", data=partial(destroyed_record, guest, plan)
    )


def _question(plans: Sequence[_Planned], others: "OtherNodes") -> str:
    lines = []
    for outcome in plans:
        (node, guest), plan = outcome.item, outcome.unwrap()
        lines.append(f"{guest.name} on {node.name} ({guest.condition}), {format_size(plan.size_bytes)} on disk")
        lines += [f"  deleted: {file}" for file, _ in plan.delete]
        lines += [f"  kept: {file} ({why})" for file, why in plan.keep]
    lines += [f"{fault.place}: {fault.fact}" for fault in others.faults]
    question = "Destroy it?" if len(plans) == 1 else f"Destroy these {len(plans)} guests?"
    # Names of files may contain control characters.
    return "\n".join([*(printable(line) for line in lines), question])
