"""Dry run of `destroy`: the files that would be deleted and kept."""

from collections.abc import Iterator, Mapping, Sequence

from mclu_shell.cloud.dryrun.cloud import DryRunCloud
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.guests.destroy_plan import DestroyPlan
from mclu_shell.cloud.guests.destroy_plans import Target, plan_all
from mclu_shell.cloud.guests.survey import PlannedRemovals, Survey, survey_nodes
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import MCluError, UncheckedFiles
from mclu_shell.units import format_size


def dry_run_destroy(
    cloud: DryRunCloud,
    targets: Sequence[Target],
    unanswered: Mapping[str, MCluError],
    *,
    needs_confirmation: bool,
) -> Iterator[Planned | MCluError]:
    """Yield the plan of each guest and record its removal; a real run may need a confirmation first.

    `unanswered` are the errors of nodes that have just failed to answer.
    """
    condition = ", if you confirm" if needs_confirmation else ""
    # A guest that the dry run would have created has no files on any node.
    existing = [target for target in targets if not cloud.is_new(target[1])]
    survey = _survey(cloud, existing, unanswered) if existing else Survey({}, {}, {})
    plans, errors = plan_all(survey, existing, must_be_checked=not needs_confirmation)
    for target in targets:
        if target in plans or target not in existing:
            yield _remove(cloud, target[1], plans.get(target), condition)
    yield from errors
    unchecked = {place for error in errors if isinstance(error, UncheckedFiles) for place in error.nodes}
    unknown = {name for name, error in survey.errors.items() if isinstance(error, UnknownUntilUp)}
    yield from survey.faults(unchecked | unknown)


def _survey(cloud: DryRunCloud, targets: Sequence[Target], unanswered: Mapping[str, MCluError]) -> Survey:
    removed = {
        node.name: PlannedRemovals(cloud.removed_guests(node), cloud.removed_files(node), cloud.stopped_guests(node))
        for node in cloud.nodes
    }
    return survey_nodes(cloud, [guest for _, guest in targets], removed, unanswered)


def _remove(cloud: DryRunCloud, guest: Guest, plan: DestroyPlan | None, condition: str) -> Planned:
    """Record the removal of a guest, and return it; a guest that the dry run would have created has no plan."""
    cloud.remove_guest(guest, [file for file, _ in plan.delete] if plan else ())
    if plan is None:
        return Planned("destroy", guest.node, guest.name, f"with all files of its boot{condition}")
    how = f"{guest.condition}, {format_size(plan.size_bytes)} on disk{condition}"
    return Planned("destroy", guest.node, guest.name, how, delete=plan.all_deleted, keep=plan.keep, state=plan.state)
