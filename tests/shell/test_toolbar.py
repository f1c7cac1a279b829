"""The text of the line below the prompt."""

import pytest

from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase, Snapshot
from mclu_shell.shell.toolbar import toolbar_text


def view(name: str, phase: Phase, why: str = "", *states: str) -> NodeView:
    guests = tuple(Guest(name, f"g{i}", f"{name}{i}", state, 1, 1) for i, state in enumerate(states))
    return NodeView(name, NodeState(phase, 0.0, why), guests)


ON = view("ham0", Phase.ON, "", "running", "paused", "shut off")
BAD = [view(f"bad{i}", Phase.FAULTY, f"reason {i}") for i in range(3)]


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ((), "0 on  0 guests running"),
        ((ON, view("ham1", Phase.ON, "", "running")), "2 on  3 guests running"),
        # Guests of a node that is off do not run, regardless of their last known state.
        ((ON, view("ham1", Phase.OFF, "is off", "running")), "1 on  1 off  2 guests running"),
        ((view("ham0", Phase.UNSEEN), view("ham1", Phase.CONNECTING)), "0 on  2 connecting  0 guests running"),
        ((view("ham0", Phase.LOST, "it was lost"),), "0 on  0 guests running  ham0: it was lost"),
        ((ON, *BAD[:2]), "1 on  2 guests running  bad0: reason 0  bad1: reason 1"),
        ((ON, *BAD), "1 on  2 guests running  3 failing: bad0, bad1, …"),
        ((view("ham0", Phase.ON, "", "running"),), "1 on  1 guest running"),
    ],
)
def test_nodes_guests_and_errors_are_counted(nodes: tuple[NodeView, ...], text: str) -> None:
    assert toolbar_text(Snapshot(nodes), 100) == text


@pytest.mark.parametrize(
    ("count", "width", "text"),
    [
        (2, 54, "1 on  2 guests running  bad0: reason 0  bad1: reason 1"),
        (2, 53, "1 on  2 guests running  2 failing: bad0, bad1"),
        (2, 44, "1 on  2 guests running  2 failing: bad0, …"),
        (3, 47, "1 on  2 guests running  3 failing: bad0, …"),
        (3, 30, "1 on  2 guests running"),
    ],
)
def test_errors_are_shortened_to_the_width(count: int, width: int, text: str) -> None:
    assert toolbar_text(Snapshot((ON, *BAD[:count])), width) == text


def test_the_reason_of_one_node_is_cut_if_enough_of_it_fits() -> None:
    nodes = (ON, view("ham1", Phase.FAULTY, "ssh: a reason of many words"))
    assert toolbar_text(Snapshot(nodes), 55) == "1 on  2 guests running  ham1: ssh: a reason of many wo…"
    assert toolbar_text(Snapshot(nodes), 51) == "1 on  2 guests running  1 failing: ham1"


def test_a_woken_node_counts_as_waking_not_as_off() -> None:
    nodes = (view("ham0", Phase.OFF), view("ham1", Phase.OFF), ON)
    assert toolbar_text(Snapshot(nodes), 100, {"ham1"}) == "1 on  1 off  1 waking  2 guests running"
    assert toolbar_text(Snapshot(nodes[1:]), 100, {"ham1", "ham0"}) == "1 on  1 waking  2 guests running"
