"""What a boot would do, found by the checks that the boot itself makes, and remembered for the lines after it."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from mclu_shell.cloud.boot.build import look_at_build
from mclu_shell.cloud.boot.kvm_probe import probe_kvm
from mclu_shell.cloud.boot.placement import NoRoom
from mclu_shell.cloud.boot.plan import (
    BootPlan,
    BootSurvey,
    NameNotChecked,
    names_not_checked,
    plan_boot,
    require_free_name,
    survey,
)
from mclu_shell.cloud.boot.request import BootRequest
from mclu_shell.cloud.dryrun.cloud import DryRunCloud
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.cloud.templates.template import Template
from mclu_shell.units import format_size


class RehearsedBoot(NamedTuple):
    """What would be done, where, and which nodes would not have been asked for the name."""

    planned: Planned
    node: Node
    unasked: tuple[NameNotChecked, ...]


def dry_run_boot(cloud: DryRunCloud, template: Template, request: BootRequest) -> RehearsedBoot:
    """Tell what a boot would make, and on which node; the same errors as of a boot say why it would not."""
    found = survey(cloud, template, request)
    unknown = [out.item for out in found.answers if isinstance(out.error, UnknownUntilUp) and out.item in found.wanted]
    plan = _plan(cloud, template, request, found, unknown)
    if plan is None or (unknown and _is_before(unknown[0], plan.node, found)):
        planned = _unknown(template, request, found, unknown[0], plan)
        vcpus = request.vcpus or 1
        cloud.add_guest(_guest(unknown[0], request.name, str(uuid.uuid4()), found.memory_bytes, vcpus))
        unasked = plan.unasked if plan else names_not_checked(request.name, found.answers)
        # Of this one it has just been told.
        return RehearsedBoot(planned, unknown[0], tuple(one for one in unasked if one.place != unknown[0].name))
    guest = plan.guest
    cloud.add_guest(_guest(plan.node, guest.name, guest.uuid, guest.memory_bytes, guest.vcpus))
    return RehearsedBoot(_planned(plan), plan.node, plan.unasked)


def _plan(
    cloud: DryRunCloud, template: Template, request: BootRequest, found: BootSurvey, unknown: Sequence[Node]
) -> BootPlan | None:
    """What is to be made, as far as nodes answer; None where it goes to one of which nothing is known."""
    others = [outcome for outcome in found.answers if not isinstance(outcome.error, UnknownUntilUp)]
    if unknown and (found.needed or all(outcome.error for outcome in others)):
        # What speaks against it on the others does so all the same.
        there = [outcome.item for outcome in others if not outcome.error]
        require_free_name(request.name, {out.item: out.value or () for out in cloud.fetch_guests(there)})
        _require_free_name_there(request.name, found)
        return None
    _require_free_name_there(request.name, found)
    try:
        plan = plan_boot(cloud, template, request, found, probe_kvm)
    except NoRoom:
        if unknown:
            return None
        raise
    look_at_build(plan.node, template.path, plan.guest, cloud.gone_files(plan.node))
    return plan


def _require_free_name_there(name: str, found: BootSurvey) -> None:
    """The name must not be that of a guest that would have been made on a node which is not up."""
    faults = [outcome for outcome in found.answers if isinstance(outcome.error, UnknownUntilUp)]
    require_free_name(name, {out.item: out.error.guests for out in faults if isinstance(out.error, UnknownUntilUp)})


def _is_before(one: Node, other: Node, found: BootSurvey) -> bool:
    return found.wanted.index(one) < found.wanted.index(other)


def _guest(node: Node, name: str, uuid: str, memory_bytes: int, vcpus: int) -> Guest:
    return Guest(node.name, name, uuid, "running", memory_bytes, vcpus)


def _planned(plan: BootPlan) -> Planned:
    guest, size_bytes = plan.guest, plan.request.size_bytes
    size = f" ({format_size(size_bytes)})" if size_bytes else ""
    what = (plan.template.name, format_size(guest.memory_bytes), f"{guest.vcpus}vcpus", f"disk {guest.output}{size}")
    how = ", ".join(filter(None, (*what, plan.acceleration.description)))
    return Planned(
        "boot",
        plan.node.name,
        guest.name,
        how,
        path=guest.output,
        memory_bytes=guest.memory_bytes,
        vcpus=guest.vcpus,
        size_bytes=size_bytes,
        accel=plan.acceleration.kind,
        accel_reason=plan.acceleration.reason,
    )


def _unknown(
    template: Template, request: BootRequest, found: BootSurvey, node: Node, otherwise: BootPlan | None
) -> Planned:
    memory = format_size(found.memory_bytes)
    on = f"; if not, on {otherwise.node.name}" if otherwise else ""
    unknown = f"if it has room, and no guest {request.name!r}, which is not known before it is up{on}"
    return Planned(
        "boot",
        node.name,
        request.name,
        f"{template.name}, {memory}, {unknown}",
        memory_bytes=found.memory_bytes,
        vcpus=request.vcpus,
        size_bytes=request.size_bytes,
    )
