"""Booting a guest: every check first, then the build, the definition and the start; all or nothing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from mclu_shell.cloud.boot.acceleration import Acceleration
from mclu_shell.cloud.boot.build import run_build
from mclu_shell.cloud.boot.definition import Definition
from mclu_shell.cloud.boot.environment import build_environment
from mclu_shell.cloud.boot.kvm_probe import KVMResult, probe_kvm
from mclu_shell.cloud.boot.plan import BootPlan, NameNotChecked, plan_boot, survey_nodes
from mclu_shell.cloud.boot.request import BootRequest
from mclu_shell.cloud.boot.rivals import settle_rivals
from mclu_shell.cloud.boot.rollback import rollback_on_error
from mclu_shell.cloud.boot.room import MemoryClaim, NodeFull
from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.console.log import marking_start
from mclu_shell.cloud.hypervisor.domain_xml import DomainSpec
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.templates.template import Template
from mclu_shell.errors import NodeFault


class BootResult(NamedTuple):
    """A running new guest: its node, its acceleration, the notes of its build, and warnings about its name."""

    node: Node
    acceleration: Acceleration
    notes: tuple[str, ...]
    warnings: tuple[NameNotChecked, ...]


def _ignore() -> None:
    pass


def boot(
    cloud: Cloud,
    template: Template,
    request: BootRequest,
    progress: Callable[[str], None],
    on_start: Callable[[], object] = _ignore,
) -> BootResult:
    """Build, define and start a guest; remove everything again if a step fails.

    `on_start` is called when the guest runs. From then on the guest stays, and an interrupt must not prevent the
    report. Raises Refused, UsageError, NotFound, TemplateError or NodeFault with the reason and the step.
    """

    def test_kvm(node: Node, emulator: str, arch: str) -> KVMResult:
        progress(f"testing KVM on {node.name}")
        return probe_kvm(node, emulator, arch)

    progress(f"looking for a node for {request.name}")
    survey = survey_nodes(cloud, template, request)
    while True:
        plan = plan_boot(cloud, template, request, survey, test_kvm)
        try:
            notes = _create(plan, survey.reachable, progress, on_start)
        except NodeFull as full:
            if survey.required:
                raise
            # Another boot reserved the memory first. Nothing has been built yet.
            survey = survey.without(full.room)
            continue
        return BootResult(plan.node, plan.acceleration, notes, plan.warnings)


def _create(
    plan: BootPlan, nodes: Sequence[Node], progress: Callable[[str], None], on_start: Callable[[], object]
) -> tuple[str, ...]:
    """Create and start the planned guest unless one of `nodes` gets a guest of its name; return the build's notes."""
    node, guest = plan.node, plan.guest
    progress(f"building {node.name}:{guest.name}")
    environment = build_environment(plan.template, plan.request, guest)
    # Only the template itself knows the formats in its own XML, and a simulated guest reads no disk.
    is_read = plan.capabilities is not None and plan.capabilities.virt_type != "test"
    expected_format = guest.disk_format if is_read else "any" if plan.own_xml and node.config.runs_guests else ""
    claim = MemoryClaim(node, guest.memory_bytes)
    with run_build(node, plan.template.path, guest, environment, claim.admit, progress, expected_format) as build:
        files = build.output.files
        if plan.own_xml is None:
            _require_disk(node, guest, files)
        # The template's own XML may define another log, or none.
        serial_log = guest.serial_log if plan.own_xml is None and build.output.has_log_directory else ""
        complete = replace(guest, files=files, identities=build.output.identities, serial_log=serial_log)
        progress(f"starting {node.name}:{guest.name}")
        definition = Definition(node, guest.uuid)
        with rollback_on_error(node, complete, definition, build):
            with _step("define"):
                build.announce_definition()
                definition.make(plan.definition(complete))
            # This waits, so `keep` comes after it: the node removes everything if mclu is killed during the wait.
            settle_rivals(guest.name, guest.uuid, nodes)
            claim.check_again(build.output.reservations)
            build.keep()
            with _step("start"), marking_start(node, guest.name):
                node.change_guest(guest.name, "start", guest.uuid)
            on_start()
    return build.output.notes


def _require_disk(node: Node, guest: DomainSpec, files: Sequence[str]) -> None:
    """Raise NodeFault if a build created no disk; only a template with its own XML may do without."""
    if guest.output not in files:
        remedy = f"write the disk to $output: {guest.output}"
        raise NodeFault("the build created no disk", place=node.name, remedy=remedy)


@contextmanager
def _step(verb: str) -> Iterator[None]:
    """Add the failed step to libvirt's error, and join the lines of its message."""
    try:
        yield
    except NodeFault as fault:
        reason = " ".join(fault.fact.removeprefix(f"{fault.guest}: ").split())
        raise fault.with_context(fact=f"cannot {verb} the guest: {reason}") from fault
