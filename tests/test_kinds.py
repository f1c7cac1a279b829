import argparse

import pytest

from mclu_shell import kinds
from mclu_shell.cloud.state import NodeState, NodeView, Phase, Snapshot

SNAPSHOT = Snapshot(tuple(NodeView(phase.name.lower(), NodeState(phase, 0.0)) for phase in Phase))


def offered(kind: kinds.Kind) -> list[str]:
    return [candidate.text for candidate in kind.candidates(SNAPSHOT)]


@pytest.mark.parametrize("text", ["ham0", "ham*", "*", "ham[0-3]", "ham[!1]", "?am0", "a.b_c-d"])
def test_names_and_wildcards_of_nodes_are_taken_as_they_stand(text: str) -> None:
    assert kinds.NODE(text) == text


@pytest.mark.parametrize("text", ["", "-x", "a b", "a;b", "ham0:web", "../x", "$(x)", "a\nb", "hä", ".x", "!a"])
def test_anything_else_is_no_name_of_a_node(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="bad node name"):
        kinds.NODE(text)


def test_any_node_is_offered_with_its_state() -> None:
    assert offered(kinds.NODE) == ["unseen", "connecting", "on", "off", "faulty", "lost"]
    assert {(found.text, found.about) for found in kinds.NODE.candidates(SNAPSHOT)} >= {("off", "off"), ("lost", "link lost")}


def test_only_nodes_that_may_be_off_are_offered_to_wake() -> None:
    assert "off" in offered(kinds.NODE_TO_WAKE)
    assert "on" not in offered(kinds.NODE_TO_WAKE)


def test_only_nodes_that_may_be_on_are_offered_to_switch_off() -> None:
    assert "on" in offered(kinds.NODE_TO_SWITCH_OFF)
    assert "off" not in offered(kinds.NODE_TO_SWITCH_OFF)


def test_the_usual_times_are_offered_and_others_are_read_too() -> None:
    kind = kinds.duration_kind(60, 300)
    assert [(found.text, found.about) for found in kind.candidates(SNAPSHOT)] == [("60", "1 min"), ("300", "5 min")]
    assert kind("2m") == 120
    with pytest.raises(argparse.ArgumentTypeError, match="bad time"):
        kind("soon")
