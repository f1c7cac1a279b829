"""The plan of a boot: node, guest and definition, after every check that needs no change."""

import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from mclu_shell.cloud.boot.acceleration import Acceleration, KVMProbe, acceleration_of_xml, choose_acceleration
from mclu_shell.cloud.boot.environment import xml_environment
from mclu_shell.cloud.boot.own_xml import require_valid_xml
from mclu_shell.cloud.boot.placement import FreeMemory, choose_node, no_node_on
from mclu_shell.cloud.boot.request import BootRequest
from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.concurrency.fanout import Outcome
from mclu_shell.cloud.hypervisor.capabilities import Capabilities
from mclu_shell.cloud.hypervisor.domain_xml import DomainSpec, domain_xml, with_metadata
from mclu_shell.cloud.hypervisor.file_names import DISK_FORMAT, FileNames
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest, NodeReport
from mclu_shell.cloud.templates.template import Template, custom_xml
from mclu_shell.errors import MCluError, NodeFault, NodeOff, Refused, UsageError
from mclu_shell.parsing.xml import parse_xml
from mclu_shell.units import format_size

Value = TypeVar("Value")

_DEFAULT_MEMORY_BYTES = 1 << 30
_MOST_DEFAULT_VCPUS = 4
# Disks grow as they are filled, so one may be larger than the free space. A larger one than this is a typing error.
_LARGEST_DISK_BYTES = 64 << 40


class BootSurvey(NamedTuple):
    """The memory of a new guest, the nodes that may get it, and the outcomes of connecting to all nodes."""

    memory_bytes: int
    candidates: tuple[Node, ...]
    connections: tuple[Outcome[Node, None], ...]
    # Nodes that must answer: the one that the user has named.
    required: tuple[Node, ...]
    # Nodes whose memory other boots have reserved first.
    full: tuple[FreeMemory, ...] = ()

    @property
    def reachable(self) -> list[Node]:
        """The nodes that answer; raises the fault of a required node, or MCluError if no node answers."""
        return list(collect_values(self.connections, self.required))

    def without(self, room: FreeMemory) -> "BootSurvey":
        """Return a copy without the candidate whose memory other boots have reserved."""
        candidates = tuple(node for node in self.candidates if node.name != room.node)
        return self._replace(candidates=candidates, full=(*self.full, room))


class BootPlan(NamedTuple):
    """A guest to create on a node."""

    node: Node
    template: Template
    request: BootRequest
    guest: DomainSpec
    # None if the template has its own XML.
    capabilities: Capabilities | None
    acceleration: Acceleration
    own_xml: str | None
    warnings: tuple["NameNotChecked", ...]

    def definition(self, guest: DomainSpec) -> str:
        """Return the libvirt XML of the guest; after the build, `guest` has its files."""
        if self.own_xml is not None:
            return with_metadata(self.own_xml, guest)
        assert self.capabilities is not None
        return domain_xml(guest, self.capabilities)


class NameNotChecked(MCluError):
    """Warning: the new guest's name could not be checked on a node. The guest was created anyway."""

    code = "not-asked"
    status = 0


def survey_nodes(cloud: Cloud, template: Template, request: BootRequest) -> BootSurvey:
    """Check the request and connect to all nodes; raise UsageError or NotFound if the request is wrong."""
    memory_bytes = _memory_bytes(template, request)
    _require_possible_size(template, request)
    candidates = tuple(cloud.match([request.host]) if request.host else cloud.nodes)
    connections = tuple(cloud.reach())
    return BootSurvey(memory_bytes, candidates, connections, candidates if request.host else ())


def plan_boot(
    cloud: Cloud, template: Template, request: BootRequest, survey: BootSurvey, probe_kvm: KVMProbe
) -> BootPlan:
    """Choose a node and specify the guest; change nothing.

    Raises Refused, UsageError, TemplateError or NodeFault if the boot would fail.
    """
    outcomes = cloud.fetch_guests(survey.reachable)
    guests = collect_values(outcomes, survey.required)
    require_free_name(request.name, guests)
    candidates = [node for node in guests if node in survey.candidates]
    node, report = _find_room(cloud, candidates, survey)
    guest = _domain_spec(node, report, template, request, survey.memory_bytes)
    own_xml = custom_xml(template, xml_environment(template, guest))
    if own_xml is None:
        capabilities, acceleration = choose_acceleration(node, probe_kvm)
    else:
        # with_metadata raises TemplateError for faulty XML, before the build.
        capabilities, acceleration = None, acceleration_of_xml(with_metadata(own_xml, guest))
    warnings = (*name_warnings(request.name, survey.connections), *name_warnings(request.name, outcomes))
    plan = BootPlan(node, template, request, guest, capabilities, acceleration, own_xml, warnings)
    definition = plan.definition(guest)
    _require_devices(node, request, definition)
    if own_xml is not None:
        require_valid_xml(node, template.name, definition)
    return plan


def _memory_bytes(template: Template, request: BootRequest) -> int:
    default = template.recommended_memory_bytes or template.minimum_memory_bytes or _DEFAULT_MEMORY_BYTES
    memory_bytes = request.memory_bytes or default
    minimum = template.minimum_memory_bytes or 1 << 20
    if memory_bytes < minimum:
        given, needed = format_size(memory_bytes), format_size(minimum)
        raise UsageError(f"{given} of memory is too little: {template.name} needs at least {needed}")
    return memory_bytes


def _require_possible_size(template: Template, request: BootRequest) -> None:
    size_bytes = request.size_bytes
    if size_bytes is None:
        return
    minimum = template.minimum_size_bytes or 1 << 20
    if size_bytes < minimum:
        given, needed = format_size(size_bytes), format_size(minimum)
        raise UsageError(f"a disk of {given} is too small: {template.name} needs at least {needed}")
    if size_bytes > _LARGEST_DISK_BYTES:
        given, maximum = format_size(size_bytes), format_size(_LARGEST_DISK_BYTES)
        raise UsageError(f"a disk of {given} is too large: the maximum is {maximum}")


def collect_values(outcomes: Sequence[Outcome[Node, Value]], required: Sequence[Node]) -> dict[Node, Value]:
    """Return the values of the nodes that answered.

    Raises the fault of a required node. If no node answered, raises the first fault of a node that is not off, or
    MCluError.
    """
    faults = {outcome.item: outcome.error for outcome in outcomes if outcome.error is not None}
    for node in required:
        if node in faults:
            raise faults[node]
    values = {outcome.item: outcome.unwrap() for outcome in outcomes if outcome.item not in faults}
    if not values:
        raise next((fault for fault in faults.values() if not isinstance(fault, NodeOff)), no_node_on())
    return values


def require_free_name(name: str, guests: Mapping[Node, Sequence[Guest]]) -> None:
    """Raise Refused if a node has a guest of this name."""
    for node, existing in guests.items():
        if any(guest.name == name for guest in existing):
            raise Refused(f"guest {name!r} already exists", place=node.name)


def name_warnings(name: str, outcomes: Sequence[Outcome[Node, Value]]) -> Iterator[NameNotChecked]:
    """Yield a warning for each node that is on, or would be, but did not list its guests."""
    for outcome in outcomes:
        if outcome.error is not None and not isinstance(outcome.error, NodeOff):
            yield NameNotChecked(
                f"cannot check for another guest {name!r}: {outcome.error.fact}", place=outcome.item.name
            )


def _find_room(cloud: Cloud, candidates: Sequence[Node], survey: BootSurvey) -> tuple[Node, NodeReport]:
    """Return the first node with enough memory, and its report.

    Usually that is the first candidate. It is queried alone, because querying all nodes takes longer.
    """
    outcomes = cloud.fetch_reports(candidates[:1])
    if not any(outcome.value and outcome.value.free_bytes >= survey.memory_bytes for outcome in outcomes):
        outcomes += cloud.fetch_reports(candidates[1:])
    # If other boots have reserved the memory of all candidates, there is none to query.
    reports = collect_values(outcomes, survey.required) if candidates else {}
    offers = [FreeMemory(node.name, each.free_bytes, each.info.reserved_bytes) for node, each in reports.items()]
    name = choose_node([*offers, *survey.full], survey.memory_bytes).node
    return next((node, report) for node, report in reports.items() if node.name == name)


def _domain_spec(
    node: Node, report: NodeReport, template: Template, request: BootRequest, memory_bytes: int
) -> DomainSpec:
    names = FileNames.of(node.config)
    return DomainSpec(
        name=request.name,
        uuid=str(uuid.uuid4()),
        template=template.name,
        memory_bytes=memory_bytes,
        vcpus=request.vcpus or min(report.info.pcpus, _MOST_DEFAULT_VCPUS),
        output=names.disk(request.name),
        disk_format=DISK_FORMAT,
        disk_bus=template.disk_bus or "virtio",
        network_model=template.network_model or "virtio",
        mac="52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3)),
        network=_network(node),
        kernel_arguments=template.kernel_arguments,
        serial_log=names.console_log(request.name),
    )


def _network(node: Node) -> tuple[str, str]:
    """Return the type and the name of the network of a guest's interface, in libvirt's words."""
    network = node.config.network
    if network.startswith("bridge:"):
        return "bridge", network.removeprefix("bridge:")
    if network in node.query(lambda client: client.fetch_networks()):
        return "network", network
    if network == "default":
        # Without libvirt's network, QEMU's user network needs no setup. It allows only outgoing connections.
        return "user", ""
    raise Refused(f"libvirt has no active network {network!r}", place=node.name, remedy="set network= in mclu.conf")


def _require_devices(node: Node, request: BootRequest, definition: str) -> None:
    """Raise Refused or NodeFault if the guest would lack the console or screen that the request opens."""
    domain = parse_xml(definition)
    for option, name, devices in (("console", "console", ("serial", "console")), ("viewer", "screen", ("graphics",))):
        if option not in request.opens:
            continue
        if domain.get("type") == "test":
            raise NodeFault(f"simulated guests have no {name}s", place=node.name)
        if all(domain.find(f"./devices/{device}") is None for device in devices):
            raise Refused(f"the guest would have no {name}", place=node.name, remedy=f"boot it without --{option}")
