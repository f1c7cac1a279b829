from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from mclu_shell.cloud.boot.acceleration import Acceleration
from mclu_shell.cloud.boot.kvm_probe import KVMResult, KVMStatus
from mclu_shell.cloud.boot.plan import (
    BootPlan,
    collect_values,
    name_warnings,
    plan_boot,
    require_free_name,
    survey_nodes,
)
from mclu_shell.cloud.boot.request import BootRequest
from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.concurrency.fanout import Outcome
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.open import demo_nodes, open_cloud
from mclu_shell.cloud.templates.template import Template, read_template
from mclu_shell.config import demo_config
from mclu_shell.errors import LibvirtDown, MCluError, NodeOff, NotFound, Refused, UsageError
from tests.support.templates import write_template

SIZES = {"minimum_memory": "echo 512M", "recommended_memory": "echo 1G", "minimum_size": "echo 10G"}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    opened = open_cloud(demo_config(), demo_nodes)
    yield opened
    opened.close()


@pytest.fixture
def template(tmp_path: Path) -> Template:
    return read_template(write_template(tmp_path, "x", **SIZES))


def plan(cloud: Cloud, template: Template, request: BootRequest) -> BootPlan:
    def probe(*_arguments: object) -> KVMResult:
        return KVMResult(KVMStatus.WORKS, "")

    return plan_boot(cloud, template, request, survey_nodes(cloud, template, request), probe)


def test_the_guest_gets_the_resources_of_request_and_template(cloud: Cloud, template: Template) -> None:
    default = plan(cloud, template, BootRequest("new"))
    assert (default.node.name, default.guest.memory_bytes, default.guest.vcpus) == ("ham0", 1 << 30, 4)
    assert default.guest.output == f"{default.node.config.images}/new.qcow2"
    requested = plan(cloud, template, BootRequest("new", memory_bytes=2 << 30, vcpus=7))
    assert (requested.guest.memory_bytes, requested.guest.vcpus) == (2 << 30, 7)
    assert default.guest.uuid != requested.guest.uuid
    assert default.guest.mac != requested.guest.mac


def test_a_plan_changes_nothing(cloud: Cloud, template: Template) -> None:
    assert plan(cloud, template, BootRequest("new")).acceleration == Acceleration("")
    assert [guest.name for guest in cloud.nodes[0].fetch_guests()] == ["db", "web"]


def test_a_template_without_sizes_has_no_minimum(cloud: Cloud, tmp_path: Path) -> None:
    template = read_template(write_template(tmp_path, "y"))
    survey = survey_nodes(cloud, template, BootRequest("new", memory_bytes=1 << 20, size_bytes=1 << 20))
    assert survey.memory_bytes == 1 << 20


@pytest.mark.parametrize(
    ("boot_request", "fact"),
    [
        (BootRequest("new", memory_bytes=256 << 20), "256M of memory is too little: x needs at least 512M"),
        (BootRequest("new", size_bytes=1 << 30), "a disk of 1G is too small: x needs at least 10G"),
        (BootRequest("new", size_bytes=65 << 40), "a disk of 65T is too large: the maximum is 64T"),
    ],
)
def test_a_size_outside_the_limits_is_a_usage_error(
    cloud: Cloud, template: Template, boot_request: BootRequest, fact: str
) -> None:
    with pytest.raises(UsageError) as caught:
        survey_nodes(cloud, template, boot_request)
    assert caught.value.fact == fact


def test_a_named_node_must_exist_and_be_on(cloud: Cloud, template: Template) -> None:
    with pytest.raises(NotFound):
        plan(cloud, template, BootRequest("new", "ham9"))
    with pytest.raises(NodeOff) as caught:
        plan(cloud, template, BootRequest("new", "ham1"))
    assert caught.value.place == "ham1"


def test_the_name_of_another_guest_is_refused(cloud: Cloud, template: Template) -> None:
    with pytest.raises(Refused, match="guest 'web' already exists"):
        plan(cloud, template, BootRequest("web"))
    require_free_name("new", dict.fromkeys(cloud.nodes, ()))


def test_a_console_that_the_guest_would_not_have_is_refused(cloud: Cloud, template: Template) -> None:
    request = BootRequest("new", opens=frozenset({"console"}))
    with pytest.raises(MCluError, match="simulated guests have no consoles"):
        plan(cloud, template, request)


def outcomes(cloud: Cloud, errors: Mapping[str, MCluError]) -> list[Outcome[Node, str]]:
    return [
        Outcome(node, None if node.name in errors else node.name, errors.get(node.name)) for node in cloud.nodes[:2]
    ]


def test_nodes_that_do_not_answer_are_left_out_unless_they_are_required(cloud: Cloud) -> None:
    first, second = cloud.nodes[:2]
    fault = LibvirtDown("libvirtd not answering", place="ham1")
    assert collect_values(outcomes(cloud, {"ham1": fault}), [first]) == {first: "ham0"}
    with pytest.raises(LibvirtDown):
        collect_values(outcomes(cloud, {"ham1": fault}), [second])


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        # A fault explains more than a node that is off.
        ([NodeOff("ham0"), LibvirtDown("libvirtd not answering", place="ham1")], "ham1: libvirtd not answering"),
        ([NodeOff("ham0"), NodeOff("ham1")], "no node is on; run 'on NODE --wait' first"),
    ],
)
def test_without_any_answer_the_error_names_the_cause(cloud: Cloud, errors: Sequence[MCluError], message: str) -> None:
    with pytest.raises(MCluError) as caught:
        collect_values(outcomes(cloud, {error.place: error for error in errors}), ())
    assert str(caught.value) == message


def test_a_name_is_not_checked_on_nodes_with_faults(cloud: Cloud) -> None:
    errors = {"ham0": NodeOff("ham0"), "ham1": LibvirtDown("libvirtd not answering", place="ham1")}
    warnings = name_warnings("new", outcomes(cloud, errors))
    assert [str(warning) for warning in warnings] == [
        "ham1: cannot check for another guest 'new': libvirtd not answering"
    ]
