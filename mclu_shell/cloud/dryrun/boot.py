"""Dry run of `boot`: the checks of the real boot, without the build."""

import uuid
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mclu_shell.cloud.boot.build import check_build
from mclu_shell.cloud.boot.kvm_probe import probe_kvm
from mclu_shell.cloud.boot.placement import NoRoom
from mclu_shell.cloud.boot.plan import (
    BootPlan,
    BootSurvey,
    NameNotChecked,
    name_warnings,
    plan_boot,
    require_free_name,
    survey_nodes,
)
from mclu_shell.cloud.boot.request import BootRequest
from mclu_shell.cloud.dryrun.cloud import DryRunCloud
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.cloud.templates.template import Template
from mclu_shell.units import format_size


class PlannedBoot(NamedTuple):
    """The plan of a boot, its node, and warnings about the guest's name."""

    planned: Planned
    node: Node
    warnings: tuple[NameNotChecked, ...]


def dry_run_boot(cloud: DryRunCloud, template: Template, request: BootRequest) -> PlannedBoot:
    """Plan a boot and record its guest; raise the same errors as a real boot.

    A node that earlier lines wake may get the guest. Its memory and guests are unknown until it is up.
    """
    survey = survey_nodes(cloud, template, request)
    unknown = [node for node, _ in _unknown_nodes(survey) if node in survey.candidates]
    plan = _plan(cloud, template, request, survey, unknown)
    if plan is None or (unknown and _is_before(unknown[0], plan.node, survey)):
        return _boot_on_unknown(cloud, template, request, survey, unknown[0], plan)
    guest = plan.guest
    cloud.add_guest(_new_guest(plan.node, guest.name, guest.uuid, guest.memory_bytes, guest.vcpus))
    return PlannedBoot(_planned(plan), plan.node, plan.warnings)


def _boot_on_unknown(
    cloud: DryRunCloud,
    template: Template,
    request: BootRequest,
    survey: BootSurvey,
    node: Node,
    otherwise: BootPlan | None,
) -> PlannedBoot:
    """Plan a boot on a node of unknown memory; `otherwise` is the plan for a node that certainly has enough."""
    cloud.add_guest(_new_guest(node, request.name, str(uuid.uuid4()), survey.memory_bytes, request.vcpus or 1))
    warnings = otherwise.warnings if otherwise else name_warnings(request.name, survey.connections)
    planned = _planned_on_unknown(template, request, survey, node, otherwise)
    # The plan itself has the condition for this node.
    return PlannedBoot(planned, node, tuple(warning for warning in warnings if warning.place != node.name))


def _unknown_nodes(survey: BootSurvey) -> Iterator[tuple[Node, UnknownUntilUp]]:
    """Yield the nodes that earlier lines wake, with their faults."""
    for outcome in survey.connections:
        if isinstance(outcome.error, UnknownUntilUp):
            yield outcome.item, outcome.error


def _plan(
    cloud: DryRunCloud, template: Template, request: BootRequest, survey: BootSurvey, unknown: Sequence[Node]
) -> BootPlan | None:
    """Return the plan for a node that answers, or None if only an unknown node can get the guest."""
    known = [outcome for outcome in survey.connections if not isinstance(outcome.error, UnknownUntilUp)]
    if unknown and (survey.required or all(outcome.error for outcome in known)):
        nodes = [outcome.item for outcome in known if not outcome.error]
        require_free_name(request.name, {out.item: out.value or () for out in cloud.fetch_guests(nodes)})
        _require_free_name_on_unknown(request.name, survey)
        return None
    _require_free_name_on_unknown(request.name, survey)
    try:
        plan = plan_boot(cloud, template, request, survey, probe_kvm)
    except NoRoom:
        if unknown:
            return None
        raise
    check_build(plan.node, template.path, plan.guest, cloud.removed_files(plan.node))
    return plan


def _require_free_name_on_unknown(name: str, survey: BootSurvey) -> None:
    """Raise Refused if an earlier line would have created a guest of this name on an unknown node."""
    require_free_name(name, {node: fault.guests for node, fault in _unknown_nodes(survey)})


def _is_before(one: Node, other: Node, survey: BootSurvey) -> bool:
    return survey.candidates.index(one) < survey.candidates.index(other)


def _new_guest(node: Node, name: str, uuid: str, memory_bytes: int, vcpus: int) -> Guest:
    return Guest(node.name, name, uuid, "running", memory_bytes, vcpus)


def _planned(plan: BootPlan) -> Planned:
    guest, size_bytes = plan.guest, plan.request.size_bytes
    size = f" ({format_size(size_bytes)})" if size_bytes else ""
    parts = (plan.template.name, format_size(guest.memory_bytes), f"{guest.vcpus}vcpus", f"disk {guest.output}{size}")
    return Planned(
        "boot",
        plan.node.name,
        guest.name,
        ", ".join(filter(None, (*parts, plan.acceleration.description))),
        path=guest.output,
        memory_bytes=guest.memory_bytes,
        vcpus=guest.vcpus,
        size_bytes=size_bytes,
        accel=plan.acceleration.kind,
        accel_reason=plan.acceleration.reason,
    )


def _planned_on_unknown(
    template: Template, request: BootRequest, survey: BootSurvey, node: Node, otherwise: BootPlan | None
) -> Planned:
    condition = f"if it has room and no guest {request.name!r} (unknown until it is up)"
    alternative = f", otherwise on {otherwise.node.name}" if otherwise else ""
    return Planned(
        "boot",
        node.name,
        request.name,
        f"{template.name}, {format_size(survey.memory_bytes)}, {condition}{alternative}",
        memory_bytes=survey.memory_bytes,
        vcpus=request.vcpus,
        size_bytes=request.size_bytes,
    )
