import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.guests.find import find_guest, find_guests
from mclu_shell.cloud.state.guest_name import check_new_name, guest_command, parse_guest
from mclu_shell.errors import Ambiguous, MCluError, NodeOff, NotFound, SSHDown, UsageError
from tests.support.mclu import InProcess
from tests.support.nodes import write_node

GUEST = """<domain type="test"><name>{}</name><memory unit="GiB">1</memory><os><type>hvm</type></os></domain>"""


@pytest.fixture
def nodes(tmp_path: Path, clouds: Callable[..., InProcess], silent_port: int) -> Callable[..., Cloud]:
    """Return a function that makes a cloud of running nodes with these guests, a node `off`, and further lines."""

    def make(*more: str, **guests: list[str]) -> Cloud:
        lines = [write_node(tmp_path, node, *map(GUEST.format, names)) for node, names in guests.items()]
        return clouds("\n".join(["[nodes]", *lines, f"off address=127.0.0.1 port={silent_port}", *more])).cloud

    return make


@pytest.fixture
def faulty(closed_port: int) -> str:
    """Return the configuration line of a node that is on, but refuses SSH."""
    return f"faulty address=127.0.0.1 port={closed_port}"


def names(cloud: Cloud, *patterns: str, active: bool | None = None) -> list[str]:
    matches = find_guests(cloud, patterns, active=active)
    assert all(node.name == guest.node for node, guest in matches)
    return [f"{guest.node}:{guest.name}" for _, guest in matches]


def failure(cloud: Cloud, *patterns: str, kind: type[MCluError] = NotFound) -> str:
    with pytest.raises(kind) as caught:
        find_guests(cloud, patterns)
    return str(caught.value)


def test_a_name_is_looked_for_on_all_nodes(nodes: Callable[..., Cloud], faulty: str) -> None:
    cloud = nodes(faulty, ham0=["web"], ham1=["db"])
    assert names(cloud, "db") == ["ham1:db"]
    assert find_guest(cloud, "db")[1].name == "db"


def test_guests_come_once_each_in_the_order_of_nodes_and_then_by_name(nodes: Callable[..., Cloud]) -> None:
    cloud = nodes(ham1=["b", "a"], ham0=["c"])
    assert names(cloud, "c", "*", "ham1:a") == ["ham1:a", "ham1:b", "ham0:c"]


def test_wildcards_stand_for_nodes_and_for_guests(nodes: Callable[..., Cloud]) -> None:
    cloud = nodes(ham0=["web1", "web2", "db"], ham1=["web1"], egg=["web1"])
    assert names(cloud, "ham*:web*") == ["ham0:web1", "ham0:web2", "ham1:web1"]
    assert names(cloud, "ham?:web1") == ["ham0:web1", "ham1:web1"]
    assert names(cloud, "web[!1]") == ["ham0:web2"]


def test_a_name_on_two_nodes_is_an_error_that_lists_both(nodes: Callable[..., Cloud]) -> None:
    cloud = nodes(ham0=["web"], ham1=["web"], ham2=["db"])
    assert failure(cloud, "web", kind=Ambiguous) == "web is on ham0 and ham1; specify the host: ham0:web"
    assert names(cloud, "ham1:web") == ["ham1:web"]


def test_names_in_a_remedy_can_be_pasted_into_a_shell(nodes: Callable[..., Cloud]) -> None:
    cloud = nodes(ham0=["we $(id) b"], ham1=["we $(id) b"])
    assert failure(cloud, "we $(id) b", kind=Ambiguous).endswith("; specify the host: 'ham0:we $(id) b'")
    with pytest.raises(Ambiguous, match=re.escape("matches 'ham0:we $(id) b' and 'ham1:we $(id) b'; name one of them")):
        find_guest(cloud, "w*")


@pytest.mark.parametrize(
    ("guest", "line"),
    [
        ("web", "'start ham0:web'"),
        ("we $(id) b", "start 'ham0:we $(id) b'"),
        ("it's `id`", """start 'ham0:it'"'"'s `id`'"""),
    ],
)
def test_a_command_in_a_message_is_quoted_where_it_must_be(guest: str, line: str) -> None:
    assert guest_command("start", "ham0", guest) == line
    words = shlex.split(line)
    assert words in (["start", f"ham0:{guest}"], ["start ham0:web"])


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "use at most 63 letters, digits, '.', '_' and '-'"),
        ("a b", "use at most 63 letters, digits, '.', '_' and '-'"),
        ("-x/y", "use at most 63 letters, digits, '.', '_' and '-'"),
        ("n" * 64, "use at most 63 letters, digits, '.', '_' and '-'"),
        ("-x", "must begin with a letter or a digit"),
        (".hid", "must begin with a letter or a digit"),
        ("web.qcow2.x", "must not contain '.qcow2'"),
    ],
)
def test_a_bad_new_name_is_an_error_with_the_rule_that_it_breaks(name: str, rule: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'bad guest name {name!r}: {rule}')}$"):
        check_new_name(name)


@pytest.mark.parametrize("name", ["web", "1", "n" * 63, "A.b_c-d"])
def test_a_good_new_name_is_accepted(name: str) -> None:
    assert check_new_name(name) == name


def test_a_wildcard_for_one_guest_must_match_only_one(nodes: Callable[..., Cloud]) -> None:
    cloud = nodes(ham0=["web", "wiki"], ham1=["db"])
    assert find_guest(cloud, "d*")[1].name == "db"
    with pytest.raises(Ambiguous, match=r"'w\*' matches ham0:web and ham0:wiki; name one of them"):
        find_guest(cloud, "w*")


def test_the_error_of_a_missing_guest_has_near_misses_and_the_nodes_that_did_not_reply(
    nodes: Callable[..., Cloud], faulty: str
) -> None:
    cloud = nodes(faulty, ham0=["web"])
    port = faulty.rpartition("=")[2]
    unknown = f"(off is off, faulty did not answer: ssh: connection refused on port {port})"
    assert failure(cloud, "wob") == f"no such guest 'wob' {unknown}; did you mean 'web'?"
    assert failure(cloud, "x*") == f"no guest matches 'x*' {unknown}"
    assert failure(cloud, "ham0:wob") == "ham0: no such guest 'wob'; did you mean 'web'?"
    assert failure(cloud, "web", "x*") == f"no guest matches 'x*' {unknown}"


def test_the_error_of_a_named_node_is_raised(nodes: Callable[..., Cloud], faulty: str) -> None:
    cloud = nodes(faulty, ham0=["web"])
    assert failure(cloud, "off:web", kind=NodeOff) == "off: is off; run 'on off'"
    failure(cloud, "faulty:*", kind=SSHDown)
    assert failure(cloud, "ham:web") == "no such node 'ham'; did you mean 'ham0'?"
    assert failure(cloud, "x*:web").startswith("no node matches 'x*'")


def test_a_wildcard_reports_nodes_that_did_not_reply(nodes: Callable[..., Cloud], faulty: str) -> None:
    cloud = nodes(faulty, ham0=["web"])
    failure(cloud, "w*", kind=SSHDown)
    faults: list[MCluError] = []
    assert [guest.name for _, guest in find_guests(cloud, ["w*", "*"], faults=faults)] == ["web"]
    assert [fault.place for fault in faults] == ["faulty"]


def test_the_state_restricts_wildcards_but_not_names(nodes: Callable[..., Cloud]) -> None:
    cloud = nodes(ham0=["web"])
    assert names(cloud, "w*", active=True) == ["ham0:web"]
    assert names(cloud, "web", active=False) == ["ham0:web"]
    with pytest.raises(NotFound, match=r"no stopped guest matches 'w\*' \(off is off\)"):
        find_guests(cloud, ["w*"], active=False)


def test_a_guest_whose_name_looks_like_a_wildcard_can_be_named(nodes: Callable[..., Cloud]) -> None:
    cloud = nodes(ham0=["web[1]", "web1", "a:b"])
    assert names(cloud, "web[1]") == ["ham0:web[1]"]
    assert names(cloud, "ham0:a:b") == ["ham0:a:b"]


@pytest.mark.parametrize(
    "text", ["", " ", ":", "ham0:", ":web", "a/b", "ham0:../x", "a\nb", "a\x1b[2J", "\udcff", "ä" * 128]
)
def test_a_name_that_libvirt_refuses_is_an_error_before_any_query(text: str, demo: InProcess) -> None:
    with pytest.raises(ValueError, match="bad guest name"):
        parse_guest(text)
    with pytest.raises(UsageError):
        find_guests(demo.cloud, [text])
    assert [node.state.phase for node in demo.cloud.snapshot.nodes] == ["not queried yet"] * 4


def test_listed_guests_are_cached(demo: InProcess) -> None:
    find_guests(demo.cloud, ["*"])
    assert [guest.name for guest in demo.cloud.snapshot.nodes[0].guests] == ["db", "web"]
    # A query for stopped guests keeps the running ones in the cache.
    demo("list --inactive; status")
    assert [guest.name for guest in demo.cloud.snapshot.nodes[0].guests] == ["db", "web"]
