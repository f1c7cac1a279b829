import pytest

from mclu_shell.cloud.guest import Guest
from mclu_shell.cloud.state import NodeState, NodeView, Phase, Snapshot
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
        # Of a node that is off nothing runs, whatever was known of it.
        ((ON, view("ham1", Phase.OFF, "is off", "running")), "1 on  1 off  2 guests running"),
        ((view("ham0", Phase.UNSEEN), view("ham1", Phase.CONNECTING)), "0 on  2 connecting  0 guests running"),
        ((view("ham0", Phase.LOST, "it was lost"),), "0 on  ham0: it was lost  0 guests running"),
        ((ON, *BAD[:2]), "1 on  bad0: reason 0  bad1: reason 1  2 guests running"),
        ((ON, *BAD), "1 on  3 failing: bad0, bad1 …  2 guests running"),
        ((view("ham0", Phase.ON, "", "running"),), "1 on  1 guest running"),
    ],
)
def test_it_counts_and_names_what_is_wrong(nodes: tuple[NodeView, ...], text: str) -> None:
    assert toolbar_text(Snapshot(nodes)) == text
