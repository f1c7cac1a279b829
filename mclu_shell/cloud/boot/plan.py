"""What a boot would make, and where: every check that comes before anything is made."""

import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar
from xml.etree import ElementTree as ET

from mclu_shell.cloud.boot.acceleration import Acceleration, KVMProbe, accelerate, acceleration_of_xml
from mclu_shell.cloud.boot.environment import xml_environment
from mclu_shell.cloud.boot.own_xml import require_valid_xml
from mclu_shell.cloud.boot.placement import FreeMemory, choose
from mclu_shell.cloud.boot.request import BootRequest
from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.concurrency.fanout import Outcome
from mclu_shell.cloud.console.log import log_path
from mclu_shell.cloud.hypervisor.capabilities import Capabilities
from mclu_shell.cloud.hypervisor.domain_xml import DomainSpec, domain_xml, with_metadata
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest, NodeReport
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.cloud.templates.template import Template, custom_xml
from mclu_shell.errors import MCluError, NodeFault, NodeOff, Refused, UsageError
from mclu_shell.units import format_size

Value = TypeVar("Value")

_FORMAT = "qcow2"
_DEFAULT_MEMORY_BYTES = 1 << 30
_MOST_DEFAULT_VCPUS = 4
# Disks grow as they are filled, so one may be larger than what is free; but such a one is a slip of the finger.
_LARGEST_DISK_BYTES = 64 << 40


class BootSurvey(NamedTuple):
    """What a boot finds before it holds the name: the memory that is needed, who may have the guest, who answers."""

    memory_bytes: int
    wanted: tuple[Node, ...]
    answers: tuple[Outcome[Node, None], ...]
    # The nodes of `wanted` that must answer: the one that was named.
    needed: tuple[Node, ...]
    # The nodes where other boots were first.
    full: tuple[FreeMemory, ...] = ()

    @property
    def there(self) -> list[Node]:
        """The nodes that answer; the fault of one that is needed is raised, or that none does."""
        return list(answering(self.answers, self.needed))

    def without(self, room: FreeMemory) -> "BootSurvey":
        """Return the same without a node that has no room."""
        wanted = tuple(node for node in self.wanted if node.name != room.node)
        return self._replace(wanted=wanted, full=(*self.full, room))


class BootPlan(NamedTuple):
    """What is to be made on which node; `unasked` are the nodes that could not say whether they have the name."""

    node: Node
    template: Template
    request: BootRequest
    guest: DomainSpec
    # None where the template has its own XML.
    capabilities: Capabilities | None
    acceleration: Acceleration
    own_xml: str | None
    unasked: tuple["NameNotChecked", ...]

    def definition(self, guest: DomainSpec) -> str:
        """The libvirt XML of the guest, as it is by now."""
        if self.own_xml is not None:
            return with_metadata(self.own_xml, guest)
        assert self.capabilities is not None
        return domain_xml(guest, self.capabilities)


class NameNotChecked(MCluError):
    """A node that is not off did not say whether it has a guest of the name: the user is to know, but got the guest."""

    code = "not-asked"
    status = 0


def survey(cloud: Cloud, template: Template, request: BootRequest) -> BootSurvey:
    """Check what was asked for, and see which nodes answer. UsageError or NotFound."""
    memory_bytes = _memory(template, request)
    _check_size(template, request)
    wanted = tuple(cloud.match([request.host]) if request.host else cloud.nodes)
    answers = tuple(cloud.reach())
    return BootSurvey(memory_bytes, wanted, answers, wanted if request.host else ())


def plan_boot(
    cloud: Cloud, template: Template, request: BootRequest, found: BootSurvey, probe_kvm: KVMProbe
) -> BootPlan:
    """Find a node with room where the name is free, and what is to be made there; nothing is made.

    Refused, UsageError, TemplateError or NodeFault say why not.
    """
    listed = cloud.fetch_guests(found.there)
    guests = answering(listed, found.needed)
    require_free_name(request.name, guests)
    wanted = [node for node in guests if node in found.wanted]
    node, report = _find_room(cloud, wanted, found)
    guest = _specify(node, report, template, request, found.memory_bytes)
    own_xml = custom_xml(template, xml_environment(template, guest))
    capabilities, acceleration = (None, Acceleration("")) if own_xml is not None else accelerate(node, probe_kvm)
    unasked = (*names_not_checked(request.name, found.answers), *names_not_checked(request.name, listed))
    plan = BootPlan(node, template, request, guest, capabilities, acceleration, own_xml, unasked)
    # Said before anything is made, when it is the template's fault.
    definition = plan.definition(guest)
    domain = ET.fromstring(definition)
    _require_devices(node, request, domain)
    if own_xml is not None:
        require_valid_xml(node, template.name, definition)
    return plan if own_xml is None else plan._replace(acceleration=acceleration_of_xml(domain.get("type", "")))


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


def answering(outcomes: Sequence[Outcome[Node, Value]], needed: Sequence[Node]) -> dict[Node, Value]:
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


def require_free_name(name: str, guests: Mapping[Node, Sequence[Guest]]) -> None:
    """Refused if a node has a guest of this name."""
    for node, there in guests.items():
        if any(guest.name == name for guest in there):
            raise Refused(f"there is a guest {name!r} already", place=node.name)


def names_not_checked(name: str, outcomes: Sequence[Outcome[Node, Value]]) -> Iterator[NameNotChecked]:
    """Tell of each node that did not say whether it has a guest of a name."""
    for outcome in outcomes:
        if outcome.error is not None and not isinstance(outcome.error, NodeOff):
            told = f"was not asked whether it has a guest {name!r}, too: {outcome.error.fact}"
            if isinstance(outcome.error, UnknownUntilUp):
                told = f"whether it has a guest {name!r}, too, is not known before it is up"
            yield NameNotChecked(told, place=outcome.item.name)


def _find_room(cloud: Cloud, nodes: Sequence[Node], found: BootSurvey) -> tuple[Node, NodeReport]:
    """Return the first node with room, and its report; query the first node alone, because it has room mostly."""
    outcomes = cloud.fetch_reports(nodes[:1])
    if not any(outcome.value and outcome.value.free_bytes >= found.memory_bytes for outcome in outcomes):
        outcomes += cloud.fetch_reports(nodes[1:])
    reports = answering(outcomes, found.needed) if nodes else {}
    rooms = [FreeMemory(node.name, each.free_bytes, each.info.reserved_bytes) for node, each in reports.items()]
    place = choose([*rooms, *found.full], found.memory_bytes).node
    return next((node, report) for node, report in reports.items() if node.name == place)


def _specify(node: Node, report: NodeReport, template: Template, request: BootRequest, memory_bytes: int) -> DomainSpec:
    return DomainSpec(
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
    if wanted in node.query(lambda client: client.fetch_networks()):
        return "network", wanted
    if wanted == "default":
        # A node without libvirt's network: QEMU's own, which needs nothing and reaches out, but not in.
        return "user", ""
    raise Refused(f"libvirt has no active network {wanted!r} there", place=node.name, remedy="network= in mclu.conf")


def _require_devices(node: Node, request: BootRequest, domain: ET.Element) -> None:
    """Raise if the guest would lack what is to be opened once it runs."""
    for what, devices in (("console", ("serial", "console")), ("viewer", ("graphics",))):
        name = {"viewer": "screen"}.get(what, what)
        if what not in request.opens:
            continue
        if domain.get("type") == "test":
            raise NodeFault(f"simulated guests have no {name}s", place=node.name)
        if all(domain.find(f"./devices/{device}") is None for device in devices):
            raise Refused(f"the guest would have no {name}", place=node.name, remedy=f"boot it without --{what}")
