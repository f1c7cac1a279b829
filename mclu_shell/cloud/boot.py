"""Booting a guest: every check first, then the build, the definition and the start; all or nothing."""

import os
import secrets
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from mclu_shell.cloud.build import building
from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.domainxml import Capabilities, GuestSpec, domain_xml, with_metadata
from mclu_shell.cloud.guest import Guest, NodeReport
from mclu_shell.cloud.kvm import kvm_works
from mclu_shell.cloud.namelock import holding_name
from mclu_shell.cloud.node import Node
from mclu_shell.cloud.parallel import Outcome
from mclu_shell.cloud.placement import Room, choose
from mclu_shell.cloud.template import Template, custom_xml
from mclu_shell.errors import LibvirtFault, MCluError, NodeFault, NodeOff, NotFound, Refused, UsageError
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
    """What the user asked for; None where a default is to be found. `host` is empty where any node will do."""

    name: str
    host: str = ""
    memory_bytes: int | None = None
    size_bytes: int | None = None
    timezone: str | None = None
    vcpus: int | None = None


def boot(cloud: Cloud, template: Template, request: BootRequest, progress: Callable[[str], None]) -> Node:
    """Build, define and start a guest; the node that it is on. If anything fails, nothing of it is left.

    Refused, UsageError, NotFound, TemplateError or NodeFault say why not, and at which step.
    """
    memory_bytes = _memory(template, request)
    _check_size(template, request)
    progress("looking for a node")
    wanted = cloud.match([request.host]) if request.host else list(cloud.nodes)
    needed = wanted if request.host else []
    there = _answering(cloud.ask(lambda node: node.fetch(lambda _hypervisor: None)), needed)
    with holding_name(request.name, list(there)):
        guests = _answering(cloud.ask(lambda node: node.fetch_guests(), list(there)), needed)
        _need_free_name(request.name, guests)
        node, report = _find_room(cloud, [node for node in guests if node in wanted], needed, memory_bytes)
        guest = _specify(node, report, template, request, memory_bytes)
        _make(node, template, request, guest, report.guests, progress)
    return node


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
    others: Sequence[Guest],
    progress: Callable[[str], None],
) -> None:
    capabilities = _capabilities(node)
    own_xml = custom_xml(template, _xml_environment(template, guest))
    # Said before anything is made, when it is the template's fault.
    _definition(own_xml, guest, capabilities)
    progress(f"building on {node.name}")
    environment = _environment(template, request, guest)
    with building(node, template.path, guest, others, environment, progress) as build:
        complete = replace(guest, files=build.made.files)
        progress(f"starting on {node.name}")
        with _all_or_nothing(node, complete):
            with _step("defined"):
                definition = _definition(own_xml, complete, capabilities)
                node.change(lambda hypervisor: hypervisor.define(definition), _DEFINE_TIMEOUT_S)
            build.keep()
            with _step("started"):
                node.change_guest(guest.name, "start", guest.uuid)


def _definition(own_xml: str | None, guest: GuestSpec, capabilities: Capabilities) -> str:
    return domain_xml(guest, capabilities) if own_xml is None else with_metadata(own_xml, guest)


@contextmanager
def _step(done: str) -> Iterator[None]:
    """Say what it was that libvirt did not do; what it says itself may have several lines."""
    try:
        yield
    except NodeFault as fault:
        told = f"the guest could not be {done}: {' '.join(fault.fact.split())}"
        raise type(fault)(told, place=fault.place, remedy=fault.remedy) from fault


@contextmanager
def _all_or_nothing(node: Node, guest: GuestSpec) -> Iterator[None]:
    """Take back what was defined and kept, if the block fails or is interrupted; NodeFault if that is not possible."""
    try:
        yield
    except BaseException as error:
        with _undisturbed():
            if _undo(node, guest):
                raise
        why = error.fact if isinstance(error, MCluError) else "interrupted"
        remedy = f"if anything is left of it, 'destroy {node.name}:{guest.name}' removes that"
        raise NodeFault(why, place=node.name, remedy=remedy) from error


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Have Ctrl-C and the like wait: an impatient second one must not leave half a guest."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _undo(node: Node, guest: GuestSpec) -> bool:
    """Whether nothing is left. By its UUID, because the name may be that of a guest that somebody else has defined."""
    try:
        # Asked first, because an answer to this is not waited for as long as one to a change.
        state = node.fetch(lambda hypervisor: hypervisor.fetch_state(guest.name))
        if state is not None:
            with suppress(NotFound):
                node.change_guest(guest.name, "stop", guest.uuid)
        is_removed = node.run(["rm", "-f", "--", *guest.files]).status == 0
        if state is not None:
            with suppress(NotFound):
                node.change_guest(guest.name, "undefine", guest.uuid)
    except MCluError:
        return False
    return is_removed


def _capabilities(node: Node) -> Capabilities:
    """What the node can do: with KVM if that really works there, else without."""
    with suppress(LibvirtFault):
        found = node.fetch(lambda hypervisor: hypervisor.fetch_capabilities(kvm=True))
        if found.virt_type != "kvm" or kvm_works(node, found.emulator, found.arch):
            return found
    return node.fetch(lambda hypervisor: hypervisor.fetch_capabilities(kvm=False))


def _environment(template: Template, request: BootRequest, guest: GuestSpec) -> dict[str, str]:
    """What a build is told (the template contract)."""
    told = {
        "base_image": template.base_image,
        "format": guest.disk_format,
        "name": guest.name,
        "output": guest.output,
        "authorized_keys": _public_keys(),
    }
    if request.size_bytes is not None:
        told["size"] = str(request.size_bytes)
    if request.timezone is not None:
        told["timezone"] = request.timezone
    if os.environ.get("MCLU_MIRROR"):
        told["MCLU_MIRROR"] = os.environ["MCLU_MIRROR"]
    return told


def _xml_environment(template: Template, guest: GuestSpec) -> dict[str, str]:
    """What a template's own XML is made from (the template contract)."""
    return {
        "name": guest.name,
        "format": guest.disk_format,
        "output": guest.output,
        "memory_kb": str(guest.memory_bytes >> 10),
        "vcpus": str(guest.vcpus),
        "base_image": template.base_image,
        "disk_bus": guest.disk_bus,
        "network_model": guest.network_model,
        "mac_addr": guest.mac,
    }


def _public_keys() -> str:
    """The user's public SSH keys, a line each."""
    keys = []
    for file in sorted((Path.home() / ".ssh").glob("id_*.pub")):
        with suppress(OSError, UnicodeDecodeError):
            keys.append(file.read_text(encoding="utf-8").strip())
    return "\n".join(key for key in keys if key)
