from collections.abc import Iterator, Sequence

import pytest

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.open import demo_nodes, open_cloud
from mclu_shell.cloud.power import check_power_off, switch_off
from mclu_shell.config import demo_config
from mclu_shell.errors import Interrupted, NodeOff, Refused


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    opened = open_cloud(demo_config(), demo_nodes)
    yield opened
    opened.close()


@pytest.fixture
def nodes(cloud: Cloud) -> Sequence[Node]:
    return cloud.nodes


def test_running_guests_are_refused_and_an_off_node_is_not(cloud: Cloud, nodes: Sequence[Node]) -> None:
    nodes[1].wake()
    refusal, fine, *off = [outcome.error for outcome in check_power_off(cloud, nodes)]
    assert isinstance(refusal, Refused)
    assert refusal.place == "ham0"
    assert refusal.fact == "cannot switch off: guests db and web are running"
    assert refusal.remedy == "shut them down or destroy them first"
    assert fine is None
    assert [type(error) for error in off] == [NodeOff, NodeOff]


def test_a_cancelled_power_off_is_not_sent(nodes: Sequence[Node]) -> None:
    nodes[1].wake()
    scope = CancelScope()
    scope.cancel()
    with pytest.raises(Interrupted, match="not switched off: interrupted"):
        nodes[1].power_off(1.0, scope)
    nodes[1].fetch_guests()


def test_a_guest_that_has_just_started_is_refused(cloud: Cloud, nodes: Sequence[Node]) -> None:
    """`switch_off` checks again, here without an earlier `check_power_off`."""
    nodes[1].wake()
    outcomes = {outcome.item.name: outcome.error for outcome in switch_off(nodes[:2], CancelScope())}
    assert isinstance(outcomes["ham0"], Refused)
    assert outcomes["ham1"] is None
    assert len(nodes[0].fetch_guests(active=True)) == 2
    assert isinstance(check_power_off(cloud, nodes[1:])[0].error, NodeOff)
