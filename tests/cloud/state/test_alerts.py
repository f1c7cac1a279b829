import pytest

from mclu_shell.cloud.state.alerts import Alerts
from mclu_shell.cloud.state.expected import ExpectedChanges
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase


class History:
    """A node's views one after another, and what is told of them."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.asked = ExpectedChanges()
        self._alerts = Alerts({"ham0": self.asked}, self.told.append)
        self.view = NodeView("ham0", NodeState(Phase.UNSEEN, 0.0))

    def set_state(self, phase: Phase | None = None, why: str = "", **guests: str) -> list[str]:
        """Let the node stand like this, with these guests; what is told."""
        state = NodeState(phase, 0.0, why) if phase else self.view.state
        there = tuple(Guest("ham0", name, name, state.replace("_", " "), 1, 1) for name, state in guests.items())
        before, self.view = self.view, self.view._replace(state=state, guests=there)
        self.told.clear()
        self._alerts.on_change(before, self.view)
        return list(self.told)


@pytest.fixture
def node() -> History:
    """ham0, which is on and runs web."""
    history = History()
    assert history.set_state(Phase.CONNECTING) == []
    assert history.set_state(web="running") == []
    assert history.set_state(Phase.ON, web="running") == []
    return history


def test_what_an_earlier_shell_knew_is_no_reason_for_an_alert() -> None:
    history = History()
    assert history.set_state(web="running") == []
    assert history.set_state(web="shut_off") == []
    assert history.set_state(Phase.OFF, "is off", web="shut_off") == []
    assert history.set_state(Phase.ON) == []


@pytest.mark.parametrize(
    ("guests", "told"),
    [
        ({"web": "shut_off"}, ["ham0:web has stopped"]),
        ({"web": "crashed"}, ["ham0:web has crashed"]),
        ({"web": "paused"}, ["ham0:web is paused"]),
        ({}, ["ham0:web has stopped and is gone"]),
        ({"web": "in_shutdown"}, []),
        ({"web": "running", "new": "running"}, []),
    ],
)
def test_guests_that_go_away(node: History, guests: dict[str, str], told: list[str]) -> None:
    assert node.set_state(**guests) == told
    assert node.set_state(**guests) == []


def test_what_was_asked_for_surprises_nobody(node: History) -> None:
    node.asked.add_guest("web", "shutdown")
    assert node.set_state(web="shut_off") == []
    assert node.set_state(web="running") == []
    node.asked.add_power_off()
    assert node.set_state(Phase.OFF, "is off", web="running") == []
    assert node.set_state(Phase.ON, web="running") == []


def test_waking_a_node_forgets_that_it_was_to_be_off(node: History) -> None:
    node.asked.add_power_off()
    node.asked.add_wake()
    assert node.set_state(Phase.OFF, "is off", web="running") == ["ham0: is off"]


def test_a_node_that_was_woken_is_expected(node: History) -> None:
    assert node.set_state(Phase.OFF, "is off", web="running") == ["ham0: is off"]
    node.asked.add_wake()
    assert node.set_state(Phase.ON, web="running") == []


def test_a_node_that_goes_away_and_comes_back(node: History) -> None:
    assert node.set_state(Phase.LOST, "the connection was lost", web="running") == []
    assert node.set_state(Phase.OFF, "is off", web="running") == ["ham0: is off"]
    assert node.set_state(Phase.FAULTY, "libvirtd not running", web="running") == ["ham0: libvirtd not running"]
    assert node.set_state(Phase.FAULTY, "libvirtd not running", web="running") == []
    # What was missed meanwhile is known before it counts as on.
    assert node.set_state(web="shut_off") == ["ham0:web has stopped"]
    assert node.set_state(Phase.ON, web="shut_off") == ["ham0: is back"]


def test_a_connection_that_is_lost_for_a_moment_is_one_line(node: History) -> None:
    assert node.set_state(Phase.LOST, "the connection was lost", web="running") == []
    assert node.set_state(Phase.ON, web="running") == ["ham0: is back"]


def test_a_node_that_is_switched_off_is_not_expected_to_come_up_any_more() -> None:
    asked = ExpectedChanges()
    asked.add_wake()
    assert asked.is_waking()
    asked.add_power_off()
    assert (asked.is_waking(), asked.is_powering_off()) == (False, True)
