"""Booting a guest: every check first, then the build, the definition and the start; all or nothing."""

import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TypeVar
from xml.etree import ElementTree as ET

from mclu_shell.cloud.build import building
from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.domainxml import Capabilities, GuestSpec, domain_xml, with_metadata
from mclu_shell.cloud.environment import build_environment, xml_environment
from mclu_shell.cloud.guest import Guest, NodeReport
from mclu_shell.cloud.kvm import kvm_works
from mclu_shell.cloud.namelock import holding_name, settle_rivals
from mclu_shell.cloud.node import Node
from mclu_shell.cloud.parallel import Outcome
from mclu_shell.cloud.placement import Room, choose
from mclu_shell.cloud.seriallog import log_path
from mclu_shell.cloud.template import Template, custom_xml
from mclu_shell.cloud.undo import all_or_nothing
from mclu_shell.errors import LibvirtFault, MCluError, NodeFault, NodeOff, Refused, UsageError
from mclu_shell.units import format_size

Value = TypeVar("Value")

_FORMAT = "qcow2"
_DEFAULT_MEMORY_BYTES = 1 << 30
_MOST_DEFAULT_VCPUS = 4
# Disks grow as they are filled, so one may be larger than what is free; but such a one is a slip of the finger.
_LARGEST_DISK_BYTES = 64 << 40
# libvirt only writes a file for it; and Ctrl-C is not heard meanwhile.
_DEFINE_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class BootRequest:
    """What the user asked for; None where a default is to be found. `host` is empty where any node will do.

    `opens` is what has to be there to be opened once the guest runs: console, viewer, or both.
    """

    name: str
    host: str = ""
    memory_bytes: int | None = None
    size_bytes: int | None = None
    timezone: str | None = None
    vcpus: int | None = None
    opens: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Booted:
    """A guest that runs: where, what its build noted for the user, and which nodes were not asked for its name."""

    node: Node
    notes: tuple[str, ...]
    unasked: tuple["NotAsked", ...]


class NotAsked(MCluError):
    """A node that is not off did not say whether it has a guest of the name: the user is to know, but got the guest."""

    status = 0


def boot(cloud: Cloud, template: Template, request: BootRequest, progress: Callable[[str], None]) -> Booted:
    """Build, define and start a guest. If anything fails, nothing of it is left.

    Refused, UsageError, NotFound, TemplateError or NodeFault say why not, and at which step.
    """
    memory_bytes = _memory(template, request)
    _check_size(template, request)
    progress("looking for a node")
    wanted = cloud.match([request.host]) if request.host else list(cloud.nodes)
    needed = wanted if request.host else []
    answers = cloud.ask(lambda node: node.fetch(lambda _hypervisor: None))
    there = list(_answering(answers, needed))
    with holding_name(request.name, there):
        listed = cloud.ask(lambda node: node.fetch_guests(), there)
        guests = _answering(listed, needed)
        _need_free_name(request.name, guests)
        node, report = _find_room(cloud, [node for node in guests if node in wanted], needed, memory_bytes)
        guest = _specify(node, report, template, request, memory_bytes)
        notes = _make(node, template, request, guest, there, progress)
    return Booted(node, notes, (*_unasked(request.name, answers), *_unasked(request.name, listed)))


def _memory(template: Template, request: BootRequest) -> int:
    usual = template.recommended_memory_bytes or template.minimum_memory_bytes or _DEFAULT_MEMORY_BYTES
    memory_bytes = request.memory_bytes or usual
    least = template.minimum_memory_bytes or 1 << 20
    if memory_bytes < least:
        raise UsageError(
            f"{format_size(memory_bytes)} of memory is too little: {template.name} needs {format_size(least)}"
        )
    return memory_bytes


def _check_size(template: Template, request: BootRequest) -> None:
    least = template.minimum_size_bytes or 1 << 20
    if request.size_bytes is not None and request.size_bytes < least:
        given = format_size(request.size_bytes)
        raise UsageError(f"a disk of {given} is too small: {template.name} needs {format_size(least)}")
    if request.size_bytes is not None and request.size_bytes > _LARGEST_DISK_BYTES:
        given, most = format_size(request.size_bytes), format_size(_LARGEST_DISK_BYTES)
        raise UsageError(f"a disk of {given} is too large: at most {most}")


def _answering(outcomes: Sequence[Outcome[Node, Value]], needed: Sequence[Node]) -> dict[Node, Value]:
    """What the nodes that answer said; raises the fault of one that is needed, or that none does."""
    faults = {outcome.item: outcome.error for outcome in outcomes if outcome.error is not None}
    for node in needed:
        if node in faults:
            raise faults[node]
    said = {outcome.item: outcome.unwrap() for outcome in outcomes if outcome.item not in faults}
    if not said:
        wrong = [fault for fault in faults.values() if not isinstance(fault, NodeOff)]
        raise wrong[0] if wrong else MCluError("no node is on", remedy="'on NODE --wait' wakes one")
    return said


def _need_free_name(name: str, guests: Mapping[Node, Sequence[Guest]]) -> None:
    for node, there in guests.items():
        if any(guest.name == name for guest in there):
            raise Refused(f"there is a guest {name!r} already", place=node.name)


def _unasked(name: str, outcomes: Sequence[Outcome[Node, Value]]) -> Iterator[NotAsked]:
    for outcome in outcomes:
        if outcome.error is not None and not isinstance(outcome.error, NodeOff):
            told = f"was not asked whether it has a guest {name!r}, too: {outcome.error.fact}"
            yield NotAsked(told, place=outcome.item.name)


def _find_room(
    cloud: Cloud, nodes: Sequence[Node], needed: Sequence[Node], memory_bytes: int
) -> tuple[Node, NodeReport]:
    """The first node with room, and what it has. The first is asked alone: mostly it has, and to ask all takes time."""
    outcomes = cloud.ask(lambda node: node.fetch_report(), nodes[:1])
    if not any(outcome.value and outcome.value.free_bytes >= memory_bytes for outcome in outcomes):
        outcomes += cloud.ask(lambda node: node.fetch_report(), nodes[1:])
    reports = _answering(outcomes, needed)
    place = choose([Room(node.name, report.free_bytes) for node, report in reports.items()], memory_bytes).node
    return next((node, report) for node, report in reports.items() if node.name == place)


def _specify(node: Node, report: NodeReport, template: Template, request: BootRequest, memory_bytes: int) -> GuestSpec:
    return GuestSpec(
        name=request.name,
        uuid=str(uuid.uuid4()),
        template=template.name,
        memory_bytes=memory_bytes,
        vcpus=request.vcpus or min(report.info.pcpus, _MOST_DEFAULT_VCPUS),
        output=f"{node.config.images}/{request.name}.{_FORMAT}",
        disk_format=_FORMAT,
        disk_bus=template.disk_bus or "virtio",
        network_model=template.network_model or "virtio",
        mac="52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3)),
        network=_network(node),
        kernel_arguments=template.kernel_arguments,
        serial_log=log_path(node, request.name),
    )


def _network(node: Node) -> tuple[str, str]:
    """What a guest's interface attaches to: kind and name, in libvirt's words."""
    wanted = node.config.network
    if wanted.startswith("bridge:"):
        return "bridge", wanted.removeprefix("bridge:")
    if wanted in node.fetch(lambda hypervisor: hypervisor.fetch_networks()):
        return "network", wanted
    if wanted == "default":
        # A node without libvirt's network: QEMU's own, which needs nothing and reaches out, but not in.
        return "user", ""
    raise Refused(f"libvirt has no active network {wanted!r} there", place=node.name, remedy="network= in mclu.conf")


def _make(
    node: Node,
    template: Template,
    request: BootRequest,
    guest: GuestSpec,
    there: Sequence[Node],
    progress: Callable[[str], None],
) -> tuple[str, ...]:
    """Make the guest on a node, if no other of those that are there gets one of its name; what its build noted."""
    capabilities = _capabilities(node)
    own_xml = custom_xml(template, xml_environment(template, guest))
    # Said before anything is made, when it is the template's fault.
    _need_devices(node, request, _definition(own_xml, guest, capabilities))
    progress(f"building on {node.name}")
    environment = build_environment(template, request, guest)
    with building(node, template.path, guest, environment, progress) as build:
        if own_xml is None:
            _need_disk(node, guest, build.made.files)
        # What a template describes itself may have a log of its own.
        serial_log = guest.serial_log if own_xml is None and build.made.is_logged else ""
        complete = replace(guest, files=build.made.files, serial_log=serial_log)
        progress(f"starting on {node.name}")
        with all_or_nothing(node, complete):
            with _step("defined"):
                definition = _definition(own_xml, complete, capabilities)
                node.change(lambda hypervisor: hypervisor.define(definition), _DEFINE_TIMEOUT_S)
            # Before the word to keep it: if we are killed while we wait, the node takes all of it back.
            settle_rivals(guest.name, guest.uuid, there)
            build.keep()
            with _step("started"):
                node.change_guest(guest.name, "start", guest.uuid)
    return build.made.notes


def _need_disk(node: Node, guest: GuestSpec, files: Sequence[str]) -> None:
    """Raise if a build made none; only a guest that its template describes may do without."""
    if guest.output not in files:
        raise NodeFault("the build made no disk", place=node.name, remedy=f"it has to make $output: {guest.output}")


def _need_devices(node: Node, request: BootRequest, definition: str) -> None:
    """Raise if the guest would lack what is to be opened once it runs."""
    domain = ET.fromstring(definition)
    for what, devices in (("console", ("serial", "console")), ("viewer", ("graphics",))):
        name = {"viewer": "screen"}.get(what, what)
        if what not in request.opens:
            continue
        if domain.get("type") == "test":
            raise NodeFault(f"is simulated: its guests have no {name}s", place=node.name)
        if all(domain.find(f"./devices/{device}") is None for device in devices):
            raise Refused(f"the guest would have no {name}", place=node.name, remedy=f"boot it without --{what}")


def _definition(own_xml: str | None, guest: GuestSpec, capabilities: Capabilities) -> str:
    return domain_xml(guest, capabilities) if own_xml is None else with_metadata(own_xml, guest)


@contextmanager
def _step(done: str) -> Iterator[None]:
    """Say what it was that libvirt did not do; what it says itself may have several lines."""
    try:
        yield
    except NodeFault as fault:
        raise fault.retold(fact=f"the guest could not be {done}: {' '.join(fault.fact.split())}") from fault


def _capabilities(node: Node) -> Capabilities:
    """What the node can do: with KVM if that really works there, else without."""
    with suppress(LibvirtFault):
        found = node.fetch(lambda hypervisor: hypervisor.fetch_capabilities(kvm=True), _DEFINE_TIMEOUT_S)
        if found.virt_type != "kvm" or kvm_works(node, found.emulator, found.arch):
            return found
    return node.fetch(lambda hypervisor: hypervisor.fetch_capabilities(kvm=False), _DEFINE_TIMEOUT_S)
