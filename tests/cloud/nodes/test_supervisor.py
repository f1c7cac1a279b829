"""The supervisor on the simulated cloud, whose libvirt sends events as a real one does."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.open import demo_nodes, open_cloud
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.config import demo_config

LIMIT_S = 10.0


class Live:
    """A supervised cloud and its alerts."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.alerts: list[str] = []
        self._changed = threading.Condition()
        cloud.supervise(self._notify, self.alerts.append)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def until(self, is_so: Callable[[], object]) -> None:
        deadline = time.monotonic() + LIMIT_S
        with self._changed:
            while not is_so():
                assert self._changed.wait(deadline - time.monotonic()), self.cloud.snapshot

    def phases(self) -> list[Phase]:
        return [node.state.phase for node in self.cloud.snapshot.nodes]

    def guests(self, node: int = 0) -> dict[str, str]:
        return {guest.name: guest.state for guest in self.cloud.snapshot.nodes[node].guests}


@pytest.fixture
def live() -> Iterator[Live]:
    """The demo: ham0 is on and runs db and web, the others are off."""
    cloud = open_cloud(demo_config(), demo_nodes)
    yield Live(cloud)
    cloud.close()


def test_all_nodes_are_connected_in_the_background(live: Live) -> None:
    live.until(lambda: live.phases() == [Phase.ON, Phase.OFF, Phase.OFF, Phase.OFF])
    assert live.guests() == {"db": "running", "web": "running"}
    assert live.cloud.snapshot.nodes[0].free_bytes is not None
    assert live.alerts == []


def test_events_of_guests_update_the_snapshot(live: Live) -> None:
    live.until(lambda: live.guests())
    node = live.cloud.nodes[0]
    (web,) = [guest for guest in node.view.guests if guest.name == "web"]
    # Without `change_guest`, this is an unexpected change.
    node.change(lambda client: client.change("web", "stop", web.uuid))
    live.until(lambda: live.guests()["web"] == "shut off")
    node.change(lambda client: client.change("web", "undefine", web.uuid))
    live.until(lambda: live.guests() == {"db": "running"})
    assert live.alerts == ["ham0:web has stopped"]


def test_a_change_by_this_program_causes_no_alert(live: Live) -> None:
    live.until(lambda: live.guests())
    node = live.cloud.nodes[0]
    (web,) = [guest for guest in node.view.guests if guest.name == "web"]
    node.change_guest("web", "stop", web.uuid)
    live.until(lambda: live.guests()["web"] == "shut off")
    assert live.alerts == []


def test_a_woken_node_is_connected_soon(live: Live) -> None:
    live.until(lambda: live.phases()[1] == Phase.OFF)
    live.cloud.nodes[1].wake()
    live.until(lambda: live.phases()[1] == Phase.ON)
    assert live.alerts == []


def test_closing_the_cloud_ends_the_threads() -> None:
    cloud = open_cloud(demo_config(), demo_nodes)
    live = Live(cloud)
    live.until(lambda: live.phases() == [Phase.ON, Phase.OFF, Phase.OFF, Phase.OFF])
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("supervise ham")]
    assert len(threads) == 4
    cloud.close()
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
