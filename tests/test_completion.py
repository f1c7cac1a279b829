import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclu_shell.cloud.state import NodeState, NodeView, Phase, Snapshot
from mclu_shell.commands import command_names
from mclu_shell.completion import complete


def view(name: str, phase: Phase) -> NodeView:
    return NodeView(name, NodeState(phase, 0.0))


SNAPSHOT = Snapshot(
    (view("ham0", Phase.ON), view("ham1", Phase.OFF), view("ham2", Phase.FAULTY), view("egg", Phase.OFF))
)


def offered(text: str) -> list[str]:
    return [candidate.text for candidate in complete(text, SNAPSHOT).candidates]


def test_an_empty_line_offers_all_commands_with_what_they_do() -> None:
    found = complete("", SNAPSHOT).candidates
    assert [candidate.text for candidate in found] == command_names()
    assert all(candidate.about for candidate in found)


@pytest.mark.parametrize(
    ("text", "candidates"),
    [
        ("stat", ["status"]),
        ("list; stat", ["status"]),
        ("of", ["off"]),
        ("zzz", []),
        ("zzz ", []),
        ("status ", ["ham0", "ham1", "ham2", "egg"]),
        ("status h", ["ham0", "ham1", "ham2"]),
        ("status 'h", ["ham0", "ham1", "ham2"]),
        ("on ham", ["ham1", "ham2"]),
        ("off ham", ["ham0", "ham2"]),
        ("on ham1 ", ["ham2", "egg"]),
        ("on ham1 ham2 e", ["egg"]),
        ("list --", ["--help", "--active", "--all", "--inactive", "--templates"]),
        ("list --act", ["--active"]),
        ("list --active --a", ["--all"]),
        ("list ", []),
        ("list x", []),
        ("on --wait ", ["60", "300", "600"]),
        ("on ham1 --w", ["--wait"]),
        ("help stat", ["status"]),
        ("help status li", ["list"]),
        ("# ", []),
        ("!l", []),
        ("status | gr", []),
        ("status > ", []),
    ],
)
def test_only_what_makes_sense_there_is_offered(text: str, candidates: list[str]) -> None:
    assert offered(text) == candidates


def test_states_stand_beside_the_nodes() -> None:
    found = complete("status ", SNAPSHOT).candidates
    assert [candidate.about for candidate in found] == ["on", "off", "faulty", "off"]


@given(st.text() | st.text(alphabet="stauonflish m0;|>!#'\"\\-= ", max_size=20))
def test_any_text_can_be_completed_and_what_is_offered_fits_it(text: str) -> None:
    found = complete(text, SNAPSHOT)
    assert 0 <= found.start <= len(text)
    for candidate in found.candidates:
        assert shlex.split(candidate.text)[0]
