"""Booting a guest: every check first, then the build, the definition and the start; all or nothing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

from mclu_shell.cloud.boot.acceleration import Acceleration
from mclu_shell.cloud.boot.build import building
from mclu_shell.cloud.boot.definition import Definition
from mclu_shell.cloud.boot.environment import build_environment
from mclu_shell.cloud.boot.kvm_probe import KVMResult, probe_kvm
from mclu_shell.cloud.boot.plan import BootPlan, NameNotChecked, plan_boot, survey
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
    """A guest that runs: where, how, what its build noted for the user, and which nodes were not asked for its name."""

    node: Node
    acceleration: Acceleration
    notes: tuple[str, ...]
    unasked: tuple[NameNotChecked, ...]


def _ignore() -> None:
    pass


def boot(
    cloud: Cloud,
    template: Template,
    request: BootRequest,
    progress: Callable[[str], None],
    on_start: Callable[[], object] = _ignore,
) -> BootResult:
    """Build, define and start a guest. If anything fails, nothing of it is left.

    `on_start` is called when the guest runs; from then on it stays, and an interrupt must not prevent the report.
    Refused, UsageError, NotFound, TemplateError or NodeFault say why not, and at which step.
    """

    def test(node: Node, emulator: str, arch: str) -> KVMResult:
        progress(f"testing KVM on {node.name}")
        return probe_kvm(node, emulator, arch)

    progress("looking for a node")
    found = survey(cloud, template, request)
    while True:
        plan = plan_boot(cloud, template, request, found, test)
        try:
            notes = _make(plan, found.there, progress, on_start)
        except NodeFull as full:
            if found.needed:
                raise
            # Another boot was first, before anything was built.
            found = found.without(full.room)
            continue
        return BootResult(plan.node, plan.acceleration, notes, plan.unasked)


def _make(
    plan: BootPlan, there: Sequence[Node], progress: Callable[[str], None], on_start: Callable[[], object]
) -> tuple[str, ...]:
    """Make what is planned, if no other node of those that are there gets a guest of its name; what its build noted."""
    node, guest = plan.node, plan.guest
    progress(f"building on {node.name}")
    environment = build_environment(plan.template, plan.request, guest)
    # Only the template itself knows the formats in its own XML, and a simulated guest reads no disk.
    is_read = plan.capabilities is not None and plan.capabilities.virt_type != "test"
    expected_format = guest.disk_format if is_read else ""
    claim = MemoryClaim(node, guest.memory_bytes)
    with building(node, plan.template.path, guest, environment, claim.admit, progress, expected_format) as build:
        if plan.own_xml is None:
            _require_disk(node, guest, build.made.files)
        # What a template describes itself may have a log of its own.
        serial_log = guest.serial_log if plan.own_xml is None and build.made.is_logged else ""
        complete = replace(guest, files=build.made.files, serial_log=serial_log)
        progress(f"starting on {node.name}")
        definition = Definition(node, guest.uuid)
        with rollback_on_error(node, complete, definition, build):
            with _step("defined"):
                build.announce_definition()
                definition.make(plan.definition(complete))
            # Before the word to keep it: if we are killed while we wait, the node takes all of it back.
            settle_rivals(guest.name, guest.uuid, there)
            claim.check_again(build.made.reservations)
            build.keep()
            with _step("started"), marking_start(node, guest.name):
                node.change_guest(guest.name, "start", guest.uuid)
            on_start()
    return build.made.notes


def _require_disk(node: Node, guest: DomainSpec, files: Sequence[str]) -> None:
    """Raise if a build made none; only a guest that its template describes may do without."""
    if guest.output not in files:
        raise NodeFault("the build made no disk", place=node.name, remedy=f"it has to make $output: {guest.output}")


@contextmanager
def _step(done: str) -> Iterator[None]:
    """Say what it was that libvirt did not do; what it says itself may have several lines."""
    try:
        yield
    except NodeFault as fault:
        reason = " ".join(fault.fact.removeprefix(f"{fault.guest}: ").split())
        raise fault.with_context(fact=f"the guest could not be {done}: {reason}") from fault
