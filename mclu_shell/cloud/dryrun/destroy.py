"""Dry run of destroy: the files of guests that would be deleted, remembered for the lines after it."""

from collections.abc import Iterator, Sequence

from mclu_shell.cloud.dryrun.cloud import DryRunCloud
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.guests.destroy import Target, plan_all
from mclu_shell.cloud.guests.destroy_plan import DestroyPlan
from mclu_shell.cloud.guests.survey import PlannedRemovals, Survey, survey_nodes
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import MCluError, UncheckedFiles
from mclu_shell.units import format_size


def dry_run_destroy(cloud: DryRunCloud, targets: Sequence[Target], *, is_asked: bool) -> Iterator[Planned | MCluError]:
    """Yield for each guest the action that would delete it; `is_asked` if a person would decide."""
    asked = ", if you say yes" if is_asked else ""
    # No node has the files of a guest that would have been made.
    real = [target for target in targets if not cloud.is_made(target[1])]
    survey = _survey(cloud, real) if real else Survey({}, {}, {})
    plans, errors = plan_all(survey, real, must_be_checked=not is_asked)
    for target in targets:
        if target in plans or target not in real:
            yield _remove(cloud, target[1], plans.get(target), asked)
    yield from errors
    unchecked = {place for error in errors if isinstance(error, UncheckedFiles) for place in error.nodes}
    unknown = {name for name, error in survey.errors.items() if isinstance(error, UnknownUntilUp)}
    yield from survey.faults(unchecked | unknown)


def _survey(cloud: DryRunCloud, targets: Sequence[Target]) -> Survey:
    removed = {node.name: PlannedRemovals(cloud.gone(node), cloud.gone_files(node)) for node in cloud.nodes}
    return survey_nodes(cloud, [guest for _, guest in targets], removed)


def _remove(cloud: DryRunCloud, guest: Guest, plan: DestroyPlan | None, asked: str) -> Planned:
    """Remove a guest from the dry run's cloud; it has no plan if it would have been made."""
    cloud.remove_guest(guest, [file for file, _ in plan.delete] if plan else ())
    if plan is None:
        return Planned("destroy", guest.node, guest.name, f"with what its boot would have made{asked}")
    how = f"{guest.condition}, {format_size(plan.size_bytes)} on disk{asked}"
    return Planned("destroy", guest.node, guest.name, how, delete=plan.delete, keep=plan.keep, state=plan.state)
