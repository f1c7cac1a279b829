"""Dry run of `destroy`: the files that would be deleted and kept."""

from collections.abc import Iterator, Mapping, Sequence

from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.cloud.dryrun.cloud import DryRunCloud
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.guests.destroy_plan import DestroyPlan, PlannedRemovals, plan_destroy
from mclu_shell.cloud.guests.other_nodes import OtherNodes, query_other_nodes, require_all_answered
from mclu_shell.cloud.hypervisor.domain_files import DomainDefinition
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import MCluError
from mclu_shell.units import format_size


def dry_run_destroy(
    cloud: DryRunCloud, guests: Sequence[tuple[Node, Guest]], *, needs_confirmation: bool
) -> Iterator[Planned | MCluError]:
    """Yield the plan of each guest and record its removal; a real run may need a confirmation first."""
    # A guest that the dry run would have created cannot exist on another node.
    are_new = all(cloud.is_new(guest) for _, guest in guests)
    elsewhere = _without_removed(cloud, query_other_nodes(cloud, [guest for _, guest in guests]))
    for outcome in gather(guests, lambda match: _plan(cloud, *match, elsewhere, needs_confirmation=needs_confirmation)):
        _, guest = outcome.item
        if outcome.error is not None:
            yield outcome.error
            continue
        plan = outcome.unwrap()
        cloud.remove_guest(guest, [file for file, _ in plan.delete] if plan else ())
        yield _planned(guest, plan, ", if you confirm" if needs_confirmation else "")
    yield from (fault for fault in elsewhere.faults if not (are_new and isinstance(fault, UnknownUntilUp)))


def _without_removed(cloud: DryRunCloud, elsewhere: OtherNodes) -> OtherNodes:
    def remaining(node: Node, definitions: Mapping[str, DomainDefinition]) -> dict[str, DomainDefinition]:
        removed = cloud.removed_guests(node)
        return {uuid: definition for uuid, definition in definitions.items() if uuid not in removed}

    guests = tuple((node, remaining(node, definitions)) for node, definitions in elsewhere.guests)
    return elsewhere._replace(guests=guests)


def _plan(
    cloud: DryRunCloud, node: Node, guest: Guest, elsewhere: OtherNodes, *, needs_confirmation: bool
) -> DestroyPlan | None:
    """Return the files to delete and to keep; None for a guest that the dry run would have created."""
    if not needs_confirmation:
        require_all_answered(node, guest, elsewhere)
    if cloud.is_new(guest):
        return None
    removed = PlannedRemovals(cloud.removed_guests(node), cloud.removed_files(node))
    return plan_destroy(node, guest, elsewhere, removed=removed)


def _planned(guest: Guest, plan: DestroyPlan | None, condition: str) -> Planned:
    if plan is None:
        return Planned("destroy", guest.node, guest.name, f"with all files of its boot{condition}")
    how = f"{guest.state}, {format_size(plan.size_bytes)} on disk{condition}"
    return Planned("destroy", guest.node, guest.name, how, delete=plan.delete, keep=plan.keep)
