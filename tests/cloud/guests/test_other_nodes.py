"""Guests of other nodes, on nodes that are this machine: so a path is the same file on all of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.guests.find import find_guest
from mclu_shell.cloud.guests.other_nodes import OtherNodes, query_other_nodes, require_all_answered
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import Refused
from tests.support.mclu import InProcess
from tests.support.nodes import write_node

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
        nodes = [
            write_node(tmp_path, node, *(GUEST.format(name, uuid, disk) for uuid, name in names.items()))
            for node, names in guests.items()
        ]
        return clouds("\n".join(["[nodes]", f"off address=127.0.0.1 port={silent_port}", *lines, *nodes])).cloud

    return make


def query(cloud: Cloud) -> OtherNodes:
    return query_other_nodes(cloud, [find_guest(cloud, "ham0:web")[1]])


def test_the_definitions_of_other_nodes_are_fetched(nodes: Callable[..., Cloud]) -> None:
    others = query(nodes(ham0={WEB: "web"}, ham1={DB: "db"}))
    assert [(node.name, list(definitions)) for node, definitions in others.guests] == [("ham1", [DB])]
    assert others.faults == ()


def test_a_guest_of_the_same_uuid_is_a_duplicate(nodes: Callable[..., Cloud]) -> None:
    cloud = nodes(ham0={WEB: "web"}, ham1={WEB: "web"}, ham2={DB: "db"}, ham3={WEB: "copy"})
    web, db = (find_guest(cloud, name)[1] for name in ("ham0:web", "ham2:db"))
    others = query_other_nodes(cloud, [web, db])
    assert others.describe_duplicate(web) == "ham1:web and ham3:copy have the same UUID"
    assert others.describe_duplicate(db) == ""


def test_a_file_that_another_node_uses_is_found(nodes: Callable[..., Cloud], disk: Path) -> None:
    cloud = nodes(ham0={WEB: "web"}, ham1={DB: "db"})
    node, _ = find_guest(cloud, "ham0:web")
    assert query(cloud).find_users(node, [str(disk), "/no/such/file"]) == {str(disk): "ham1:db uses it"}
    assert query(cloud).find_users(node, ["/no/such/file"]) == {}


def test_a_node_that_cannot_be_queried_is_an_error(nodes: Callable[..., Cloud], closed_port: int) -> None:
    cloud = nodes(f"faulty address=127.0.0.1 port={closed_port}", ham0={WEB: "web"})
    node, web = find_guest(cloud, "ham0:web")
    others = query(cloud)
    (fault,) = others.faults
    assert str(fault).startswith("faulty: cannot check for the same guest: ssh: connection refused")
    message = "ham0: web not destroyed: cannot check faulty for the same guest; retry when faulty can be reached"
    with pytest.raises(Refused, match=message):
        require_all_answered(node, web, others)


def test_a_node_that_a_dry_run_cannot_query_is_no_error(nodes: Callable[..., Cloud]) -> None:
    node, web = find_guest(nodes(ham0={WEB: "web"}), "ham0:web")
    require_all_answered(node, web, OtherNodes(faults=(UnknownUntilUp("ham1"),)))
