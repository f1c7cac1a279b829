import argparse
from pathlib import Path

import pytest

from mclu_shell.argtypes import types
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase, Snapshot

SNAPSHOT = Snapshot(tuple(NodeView(phase.name.lower(), NodeState(phase, 0.0)) for phase in Phase))


def completed(arg_type: types.ArgType) -> list[str]:
    return [candidate.text for candidate in arg_type.complete(types.CompletionContext(SNAPSHOT))]


@pytest.mark.parametrize("text", ["ham0", "ham*", "*", "ham[0-3]", "ham[!1]", "?am0", "a.b_c-d"])
def test_names_and_wildcards_of_nodes_are_accepted(text: str) -> None:
    assert types.NODE(text) == text


@pytest.mark.parametrize("text", ["", "-x", "a b", "a;b", "ham0:web", "../x", "$(x)", "a\nb", "hä", ".x", "!a"])
def test_other_node_names_are_rejected(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="bad node name"):
        types.NODE(text)


@pytest.mark.parametrize(
    ("host", "rule"),
    [("ham*", "must not contain wildcards"), (".x", "use at most 63 letters, digits, '.', '_' and '-'")],
)
def test_the_node_of_a_new_guest_is_a_name(host: str, rule: str) -> None:
    assert types.NEW_GUEST("ham0:web") == ("ham0", "web")
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        types.NEW_GUEST(f"{host}:web")
    assert str(caught.value) == f"bad node name {host!r}: {rule}"


def test_all_nodes_are_completed_with_their_states() -> None:
    assert completed(types.NODE) == ["unseen", "connecting", "on", "off", "faulty", "lost"]
    assert {
        (candidate.text, candidate.description) for candidate in types.NODE.complete(types.CompletionContext(SNAPSHOT))
    } >= {
        ("off", "off"),
        ("lost", "link lost"),
    }


def test_nodes_that_may_be_off_are_completed_to_wake() -> None:
    assert completed(types.NODE_TO_WAKE) == ["unseen", "connecting", "off", "lost"]


def test_nodes_that_may_be_on_are_completed_to_switch_off() -> None:
    assert completed(types.NODE_TO_SWITCH_OFF) == ["unseen", "connecting", "on", "faulty", "lost"]


@pytest.mark.parametrize("text", ["web", "ham0:web", "ham*:web*", "web[0-9]", "my guest", "ham0:a:b", "wäb"])
def test_names_and_wildcards_of_guests_are_accepted(text: str) -> None:
    assert types.GUEST(text) == text


@pytest.mark.parametrize("text", ["", "ham0:", ":web", "a b:web", "../x", "a\nb", "$(x):web"])
def test_other_guest_names_are_rejected(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"bad (guest|node) name"):
        types.GUEST(text)


def test_guests_are_completed_with_state_node_and_memory() -> None:
    def view(node: str, phase: Phase, **guests: str) -> NodeView:
        records = (Guest(node, name, name, state, 2 << 30, 1) for name, state in guests.items())
        return NodeView(node, NodeState(phase, 0.0), tuple(records))

    snapshot = Snapshot(
        (
            view("ham0", Phase.ON, db="shut off", web="running"),
            view("ham1", Phase.LOST, web="running"),
            view("ham2", Phase.OFF, mail="running"),
        )
    )

    def texts(kind: types.ArgType, word: str = "") -> list[str]:
        return [candidate.text for candidate in kind.complete(types.CompletionContext(snapshot, word))]

    # A name on two nodes is ambiguous without its host.
    assert texts(types.GUEST) == ["db", "ham0:", "ham1:"]
    assert texts(types.GUEST, "ham0:") == ["ham0:db", "ham0:web"]
    assert texts(types.RUNNING_GUEST) == ["ham0:", "ham1:"]
    assert texts(types.RUNNING_GUEST, "ham1:") == ["ham1:web"]
    assert texts(types.STOPPED_GUEST) == ["db", "ham0:"]
    assert texts(types.GUEST, "ham2:") == []
    # A paused guest can be resumed.
    paused = Snapshot((view("ham0", Phase.ON, mail="paused", web="running"),))
    assert [candidate.text for candidate in types.STOPPED_GUEST.complete(types.CompletionContext(paused))] == ["mail"]
    assert next(iter(types.GUEST.complete(types.CompletionContext(snapshot)))).description == "shut off on ham0, 2G"


def test_a_file_is_read_as_a_path() -> None:
    assert types.FILE("a b/c") == Path("a b/c")


def test_durations_are_suggested_and_others_are_parsed() -> None:
    kind = types.duration(60, 300)
    assert [
        (candidate.text, candidate.description) for candidate in kind.complete(types.CompletionContext(SNAPSHOT))
    ] == [
        ("60", "1 min"),
        ("300", "5 min"),
    ]
    assert kind("2m") == 120
    with pytest.raises(argparse.ArgumentTypeError, match="bad duration"):
        kind("soon")
