"""What destroying guests would take away, and what it would leave, remembered for the lines after it."""

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
    cloud: DryRunCloud, found: Sequence[tuple[Node, Guest]], *, is_asked: bool
) -> Iterator[Planned | MCluError]:
    """Tell for each guest what would be deleted; `is_asked` if a person would decide."""
    asked = ", if you say yes" if is_asked else ""
    # What would have been made, no other node can have, whatever it has when it is up.
    are_made = all(cloud.is_made(guest) for _, guest in found)
    elsewhere = _without_gone(cloud, query_other_nodes(cloud, [guest for _, guest in found]))
    for outcome in gather(found, lambda one: _remains(cloud, *one, elsewhere, is_asked=is_asked)):
        _, guest = outcome.item
        if outcome.error is not None:
            yield outcome.error
            continue
        remains = outcome.unwrap()
        cloud.remove_guest(guest, [file for file, _ in remains.delete] if remains else ())
        yield _planned(guest, remains, asked)
    yield from (fault for fault in elsewhere.faults if not (are_made and isinstance(fault, UnknownUntilUp)))


def _without_gone(cloud: DryRunCloud, elsewhere: OtherNodes) -> OtherNodes:
    def left(node: Node, there: Mapping[str, DomainDefinition]) -> dict[str, DomainDefinition]:
        gone = cloud.gone(node)
        return {uuid: definition for uuid, definition in there.items() if uuid not in gone}

    return elsewhere._replace(guests=tuple((node, left(node, there)) for node, there in elsewhere.guests))


def _remains(
    cloud: DryRunCloud, node: Node, guest: Guest, elsewhere: OtherNodes, *, is_asked: bool
) -> DestroyPlan | None:
    """What would be deleted and kept; None of a guest that would have been made."""
    if not is_asked:
        require_all_answered(node, guest, elsewhere)
    if cloud.is_made(guest):
        return None
    return plan_destroy(node, guest, elsewhere, removed=PlannedRemovals(cloud.gone(node), cloud.gone_files(node)))


def _planned(guest: Guest, remains: DestroyPlan | None, asked: str) -> Planned:
    if remains is None:
        return Planned("destroy", guest.node, guest.name, f"with what its boot would have made{asked}")
    how = f"{guest.condition}, {format_size(remains.size_bytes)} on disk{asked}"
    return Planned("destroy", guest.node, guest.name, how, delete=remains.delete, keep=remains.keep)
