import pytest

from mclu_shell.cloud.state.alerts import Alerts
from mclu_shell.cloud.state.expected import ExpectedChanges
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase


class History:
    """The successive views of a node, and the alerts about them."""

    def __init__(self) -> None:
        self.alerts: list[str] = []
        self.expected = ExpectedChanges()
        self._alerts = Alerts({"ham0": self.expected}, self.alerts.append)
        self.view = NodeView("ham0", NodeState(Phase.UNSEEN, 0.0))

    def set_state(self, phase: Phase | None = None, why: str = "", /, **guests: str) -> list[str]:
        """Change the node's state and guests; return the alerts."""
        state = NodeState(phase, 0.0, why) if phase else self.view.state
        records = tuple(Guest("ham0", name, name, state.replace("_", " "), 1, 1) for name, state in guests.items())
        before, self.view = self.view, self.view._replace(state=state, guests=records)
        self.alerts.clear()
        self._alerts.on_change(before, self.view)
        return list(self.alerts)


@pytest.fixture
def node() -> History:
    """Return ham0, which is on and runs web."""
    history = History()
    assert history.set_state(Phase.CONNECTING) == []
    assert history.set_state(web="running") == []
    assert history.set_state(Phase.ON, web="running") == []
    return history


def test_cached_views_cause_no_alert() -> None:
    history = History()
    assert history.set_state(web="running") == []
    assert history.set_state(web="shut_off") == []
    assert history.set_state(Phase.OFF, "is off", web="shut_off") == []
    assert history.set_state(Phase.ON) == []


@pytest.mark.parametrize(
    ("guests", "alerts"),
    [
        ({"web": "shut_off"}, ["ham0:web has stopped"]),
        ({"web": "crashed"}, ["ham0:web has crashed"]),
        ({"web": "paused"}, ["ham0:web is paused"]),
        ({}, ["ham0:web has stopped and is gone"]),
        ({"web": "in_shutdown"}, []),
        ({"web": "running", "new": "running"}, []),
    ],
)
def test_guests_that_stop_are_reported_once(node: History, guests: dict[str, str], alerts: list[str]) -> None:
    assert node.set_state(**guests) == alerts
    assert node.set_state(**guests) == []


def test_expected_changes_cause_no_alert(node: History) -> None:
    node.expected.add_guest("web", "shutdown")
    assert node.set_state(web="shut_off") == []
    assert node.set_state(web="running") == []
    node.expected.add_power_off()
    assert node.set_state(Phase.OFF, "is off", web="running") == []
    assert node.set_state(Phase.ON, web="running") == []


def test_waking_a_node_cancels_an_expected_power_off(node: History) -> None:
    node.expected.add_power_off()
    node.expected.add_wake()
    assert node.set_state(Phase.OFF, "is off", web="running") == ["ham0: is off"]


def test_a_woken_node_causes_no_alert_when_it_is_up(node: History) -> None:
    assert node.set_state(Phase.OFF, "is off", web="running") == ["ham0: is off"]
    node.expected.add_wake()
    assert node.set_state(Phase.ON, web="running") == []


def test_a_node_that_is_lost_and_returns_is_reported(node: History) -> None:
    assert node.set_state(Phase.LOST, "the connection was lost", web="running") == []
    assert node.set_state(Phase.OFF, "is off", web="running") == ["ham0: is off"]
    assert node.set_state(Phase.FAULTY, "libvirtd not running", web="running") == ["ham0: libvirtd not running"]
    assert node.set_state(Phase.FAULTY, "libvirtd not running", web="running") == []
    # The poll lists the guests before it sets the state.
    assert node.set_state(web="shut_off") == ["ham0:web has stopped"]
    assert node.set_state(Phase.ON, web="shut_off") == ["ham0: is back"]


def test_a_short_loss_of_the_connection_is_one_alert(node: History) -> None:
    assert node.set_state(Phase.LOST, "the connection was lost", web="running") == []
    assert node.set_state(Phase.ON, web="running") == ["ham0: is back"]


def test_switching_a_node_off_cancels_an_expected_wake() -> None:
    expected = ExpectedChanges()
    expected.add_wake()
    assert expected.is_waking()
    expected.add_power_off()
    assert (expected.is_waking(), expected.is_powering_off()) == (False, True)
