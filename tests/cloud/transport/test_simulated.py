from collections.abc import Iterator
from pathlib import Path

import pytest

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.open import demo_nodes
from mclu_shell.cloud.power import wait_until_on
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.config import demo_config
from mclu_shell.errors import NodeOff


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    nodes = demo_nodes(demo_config(), tmp_path)
    yield nodes
    for node in nodes:
        node.close()


def test_demo_nodes_do_no_io(nodes: list[Node], tmp_path: Path) -> None:
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {node.view.state.phase for node in nodes} == {Phase.UNSEEN}


def test_one_node_is_on_and_three_are_off_as_in_the_manual(nodes: list[Node]) -> None:
    first, *others = nodes
    assert [guest.name for guest in first.fetch_guests()] == ["db", "web"]
    assert first.view.state.phase == Phase.ON
    for node in others:
        with pytest.raises(NodeOff):
            node.fetch_guests()
        assert (node.view.state.phase, node.view.state.why) == (Phase.OFF, "is off")


def test_a_woken_node_has_no_guests(nodes: list[Node]) -> None:
    nodes[1].wake()
    wait_until_on(nodes[1], CancelScope(10))
    assert nodes[1].fetch_guests() == ()
    assert nodes[1].fetch_report().info == nodes[0].fetch_report().info


def test_a_node_loses_its_guests_when_switched_off(nodes: list[Node]) -> None:
    node = nodes[0]
    assert node.fetch_guests()
    node.power_off(10, CancelScope())
    assert node.view.state.phase == Phase.OFF
    with pytest.raises(NodeOff):
        node.fetch_report()
    node.wake()
    assert node.fetch_guests() == ()


def test_a_state_keeps_the_time_of_its_beginning(nodes: list[Node]) -> None:
    nodes[0].fetch_guests()
    first = nodes[0].view
    nodes[0].fetch_report()
    assert (nodes[0].view.state, nodes[0].view.guests) == (first.state, first.guests)
