"""Delete guests and their disks permanently.

If standard input and standard error are terminals, the command lists the files and asks first. In pipes, scripts and
cron jobs it does not ask, and wildcards require --yes.

Deleted:
  definition, snapshots, checkpoints and saved memory of the guest
  disks that mclu created for it, NVRAM and TPM state of such a guest
  its console log

Kept, and listed with the reason:
  disks and NVRAM that mclu did not create
  files that a guest on any node uses, under any path, or another
    image in their directory
  files that another process has open or mapped, or the node uses
  files that the guest no longer uses, unless mclu certainly made
    them
  backing files of disks
  files on a file system that several nodes may share, while a node
    cannot be queried
  all files, if a guest on another node has the same UUID (as after
    a migration on shared storage)
  all files, if an image of a guest may need them but cannot be read

Examples:
  destroy web
  destroy 'ham1:test*' --yes
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from mclu_shell.argtypes import types
from mclu_shell.cloud.guests.find import find_guests
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.guest_name import has_wildcard
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import MCluError, NodeFault, Refused, UncheckedFiles
from mclu_shell.output.results import Entry, Result, Text, would
from mclu_shell.output.text_renderer import printable
from mclu_shell.units import format_size

if TYPE_CHECKING:
    from mclu_shell.cloud.guests.destroy_plan import DestroyPlan
    from mclu_shell.cloud.guests.destroy_plans import Target
    from mclu_shell.cloud.guests.survey import Survey

GROUP = Group.MAKE
LINES = ("destroyed", "declined")


def add_arguments(parser: Parser) -> None:
    """Add guests or wildcards, and --yes."""
    parser.add_argument("guests", nargs="+", metavar="[HOST:]GUEST", type=types.GUEST, help="guest or wildcard")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per destroyed guest, with the files that were kept."""
    _require_yes(context, args)
    faults: list[MCluError] = []
    unanswered: dict[str, MCluError] = {}
    guests = find_guests(context.cloud, args.guests, faults=faults, unanswered=unanswered)
    if args.yes or context.confirm is None:
        yield from _destroy(context, guests, faults, unanswered)
    else:
        yield from _ask_and_destroy(context, context.confirm, guests, faults, unanswered)


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per guest that would be destroyed, with the files to delete and to keep."""
    from mclu_shell.cloud.dryrun.destroy import dry_run_destroy

    _require_yes(context, args)
    faults: list[MCluError] = []
    unanswered: dict[str, MCluError] = {}
    guests = find_guests(context.dry_run_cloud, args.guests, faults=faults, unanswered=unanswered)
    needs_confirmation = context.confirm is not None and not args.yes
    reported = {fault.place for fault in faults}
    planned = dry_run_destroy(context.dry_run_cloud, guests, unanswered, needs_confirmation=needs_confirmation)
    yield from (would(plan) for plan in planned if not (isinstance(plan, NodeFault) and plan.place in reported))
    yield from faults


def _require_yes(context: Context, args: argparse.Namespace) -> None:
    if context.confirm is None and not args.yes and any(map(has_wildcard, args.guests)):
        raise Refused("destroying by wildcard requires confirmation", remedy="add --yes, or name the guests")


def _ask_and_destroy(
    context: Context,
    confirm: Callable[[str], bool],
    guests: Sequence["Target"],
    faults: Sequence[MCluError],
    unanswered: Mapping[str, MCluError],
) -> Iterator[Result]:
    # Here and below: completion needs only the arguments; these imports take 15 ms.
    from mclu_shell.cloud.guests.destroy_plans import plan_all
    from mclu_shell.cloud.guests.survey import survey_nodes

    survey = survey_nodes(context.cloud, [guest for _, guest in guests], None, unanswered)
    plans, errors = plan_all(survey, guests)
    yield from errors
    if plans and confirm(_question(plans, survey)):
        yield from _destroy(context, list(plans), faults, survey.errors, plans)
    else:
        yield from faults
        yield Text("Nothing was destroyed.")
        yield from (_declined(node, guest) for node, guest in plans)


def _destroy(
    context: Context,
    guests: Sequence["Target"],
    faults: Sequence[MCluError],
    unanswered: Mapping[str, MCluError],
    confirmed: "Mapping[Target, DestroyPlan] | None" = None,
) -> Iterator[Result]:
    from mclu_shell.cloud.guests.destroy import destroy_guests
    from mclu_shell.cloud.guests.destroy_plans import plan_all
    from mclu_shell.cloud.guests.survey import survey_nodes

    # Again after the confirmation: a guest may have been migrated, or begun to use a file. Files that nodes without an
    # answer may use are not among the confirmed ones.
    survey = survey_nodes(context.cloud, [guest for _, guest in guests], None, unanswered)
    plans, errors = plan_all(survey, guests, confirmed, must_be_checked=confirmed is None)
    yield from errors
    # Before the changes: after an interrupt, nothing follows them.
    yield from faults
    reported = {error.place for error in (*faults, *errors)}
    unchecked = {place for error in errors if isinstance(error, UncheckedFiles) for place in error.nodes}
    yield from survey.faults(unchecked - reported)
    for outcome in destroy_guests(survey, plans):
        yield outcome.error or _destroyed(*outcome.item, outcome.unwrap())


def _declined(node: Node, guest: Guest) -> Text:
    """Return the record that the user's answer was no; it has no text, as the user knows."""
    from mclu_shell.output.schema.destroyed import Declined

    return Text("", data=partial(Declined, node.name, guest.name))


def _destroyed(node: Node, guest: Guest, plan: "DestroyPlan") -> Entry:
    from mclu_shell.output.schema.destroyed import destroyed_record

    lines = (*(f"deleted: {name}" for name in plan.state_with_nvram), *_kept(plan))
    return Entry(
        f"{node.name}:{guest.name}", "destroyed", lines, tone="quiet", data=partial(destroyed_record, guest, plan)
    )


def _kept(plan: "DestroyPlan") -> Iterator[str]:
    return (f"kept: {file} ({why})" for file, why in plan.keep)


def _question(plans: "Mapping[Target, DestroyPlan]", survey: "Survey") -> str:
    lines = []
    for (node, guest), plan in plans.items():
        lines.append(f"{guest.name} on {node.name} ({guest.condition}), {format_size(plan.size_bytes)} on disk")
        lines += [f"  delete: {name}" for name in (*dict(plan.all_deleted), *plan.state)]
        lines += [f"  keep: {file} ({why})" for file, why in plan.keep]
    unchecked = {node for plan in plans.values() for node in plan.unchecked}
    lines += [f"{fault.place}: {fault.fact}" for fault in survey.faults(unchecked)]
    question = "Destroy it?" if len(plans) == 1 else f"Destroy these {len(plans)} guests?"
    # Names of files may contain control characters.
    return "\n".join([*(printable(line) for line in lines), question])
