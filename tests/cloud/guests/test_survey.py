"""The survey, on nodes that are this machine: so a path is the same file on all of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.guests.find import find_guest
from mclu_shell.cloud.guests.survey import PlannedRemovals, Survey, survey_nodes
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import NodeOff
from tests.support.mclu import InProcess

WEB, DB = "11111111-2222-4333-8444-555555555555", "21111111-2222-4333-8444-555555555555"
GUEST = """<domain type="test"><name>{}</name><uuid>{}</uuid><memory unit="MiB">64</memory><os><type>hvm</type></os>
<devices><disk type="file"><source file="{}"/><target dev="vda"/></disk></devices></domain>"""


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    disk = tmp_path / "web.qcow2"
    disk.touch()
    return disk


@pytest.fixture
def nodes(tmp_path: Path, disk: Path, clouds: Callable[..., InProcess], silent_port: int) -> Callable[..., Cloud]:
    """Return a function that makes a cloud of nodes with these guests by UUID, a node `off`, and further lines."""

    def make(*lines: str, **guests: dict[str, str]) -> Cloud:
        text = ["[nodes]", f"off address=127.0.0.1 port={silent_port}", *lines]
        for node, names in guests.items():
            file = tmp_path / f"{node}.xml"
            file.write_text(f"<node>{''.join(GUEST.format(name, uuid, disk) for uuid, name in names.items())}</node>")
            text.append(f"{node} via=local uri=test://{file}")
        return clouds("\n".join(text)).cloud

    return make


def survey(cloud: Cloud) -> Survey:
    return survey_nodes(cloud, [find_guest(cloud, "ham0:web")[1]])


def test_all_nodes_are_surveyed(nodes: Callable[..., Cloud]) -> None:
    result = survey(nodes(ham0={WEB: "web"}, ham1={DB: "db"}))
    assert {node: list(there.definitions) for node, there in result.nodes.items()} == {"ham0": [WEB], "ham1": [DB]}
    assert [(node, type(error)) for node, error in result.errors.items()] == [("off", NodeOff)]
    assert result.faults(["off", "ham0"]) == []
    assert result.unchecked("ham0") == ("off",)


def test_a_guest_of_the_same_uuid_is_a_duplicate(nodes: Callable[..., Cloud]) -> None:
    cloud = nodes(ham0={WEB: "web"}, ham1={WEB: "web"}, ham2={DB: "db"}, ham3={WEB: "copy"})
    web, db = (find_guest(cloud, name)[1] for name in ("ham0:web", "ham2:db"))
    result = survey_nodes(cloud, [web, db])
    assert result.describe_duplicate(web) == "ham1:web and ham3:copy have the same UUID"
    assert result.describe_duplicate(db) == ""
    result = survey_nodes(cloud, [web, db], {"ham1": PlannedRemovals(frozenset([WEB]))})
    assert result.describe_duplicate(web) == "ham3:copy has the same UUID"


def test_a_file_that_another_node_uses_is_found(nodes: Callable[..., Cloud], disk: Path) -> None:
    result = survey(nodes(ham0={WEB: "web"}, ham1={DB: "db"}))
    file = result.nodes["ham0"].files.ids[str(disk)]

    def users(survey: Survey) -> set[tuple[str, str]]:
        return {(node, use.guest) for node, use in survey.find_uses("ham0", str(disk), file)}

    assert users(result) == {("ham0", "web"), ("ham1", "db")}
    assert users(result._replace(removed={"ham1": PlannedRemovals(frozenset([DB]))})) == {("ham0", "web")}


def test_a_node_that_cannot_be_queried_is_unchecked(nodes: Callable[..., Cloud], closed_port: int) -> None:
    result = survey(nodes(f"faulty address=127.0.0.1 port={closed_port}", ham0={WEB: "web"}))
    (fault,) = result.faults(["faulty", "off"])
    assert str(fault).startswith("faulty: cannot check its guests: ssh: connection refused")
    assert result.unchecked("ham0") == ("off", "faulty")


def test_a_node_that_a_dry_run_cannot_query_is_no_error() -> None:
    assert Survey({}, {"ham1": UnknownUntilUp("ham1")}, {}).unchecked("ham0") == ()
