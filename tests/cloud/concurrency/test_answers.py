"""Answers of a node that raise any error: a fault of this node, and of no other."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.concurrency.answers import answer_of
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.open import demo_nodes, open_cloud
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.config import demo_config
from mclu_shell.errors import Defect, InvalidAnswer, NodeOff, Unreachable
from mclu_shell.parsing.limits import InvalidData


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """The demo: ham0 is on, the others are off."""
    cloud = open_cloud(demo_config(), demo_nodes)
    yield cloud
    cloud.close()


def read_missing_field() -> object:
    return {"state.state": 1}["balloon.maximum"]


def read_name() -> object:
    return b"caf\xe9".decode()


def read_nested_json() -> object:
    return json.loads("[" * 100_000)


def read_long_number() -> object:
    return int("9" * 5000)


def read_missing_element() -> object:
    assert read_missing_element is None
    return None


def read_invalid_data() -> object:
    raise InvalidData("XML is nested too deeply")


READS = [
    read_missing_field, read_name, read_nested_json, read_long_number, read_missing_element, read_invalid_data
]  # fmt: skip


@pytest.mark.parametrize("read", READS)
def test_an_invalid_answer_is_the_fault_of_its_node(cloud: Cloud, read: Callable[[], object]) -> None:
    node = cloud.nodes[0]
    with pytest.raises(InvalidAnswer, match="cannot read its answer: ") as caught:
        node.query(lambda _client: read())
    assert caught.value.place == "ham0"
    assert len(str(caught.value)) < 500
    assert node.view.state.phase == Phase.FAULTY
    # The next query opens another connection.
    assert node.fetch_guests()


@pytest.mark.parametrize("read", READS)
def test_the_other_nodes_are_answered(cloud: Cloud, read: Callable[[], object]) -> None:
    def ask(node: Node) -> object:
        return read() if node.name == "ham1" else node.fetch_report()

    on, bad, off = cloud.query(ask)[:3]
    assert on.error is None
    assert isinstance(bad.error, InvalidAnswer)
    assert isinstance(off.error, NodeOff)


def test_a_fault_of_this_machine_is_no_invalid_answer() -> None:
    with pytest.raises(Unreachable, match="ham0: Too many open files"), answer_of("ham0"):
        raise OSError(24, "Too many open files")
    with pytest.raises(Defect), answer_of("ham0"):
        raise Defect


def test_the_shell_shows_the_fault_instead_of_a_traceback(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    node, polled = cloud.nodes[0], threading.Event()

    def read(_client: Any, **_options: Any) -> object:
        polled.set()
        return read_missing_field()

    monkeypatch.setattr(node, "_report", read)
    states: list[Phase] = []
    faulty = threading.Event()

    def on_change() -> None:
        states.append(node.view.state.phase)
        if node.view.state.phase == Phase.FAULTY:
            faulty.set()

    cloud.supervise(on_change, lambda _alert: None)
    assert polled.wait(10)
    assert faulty.wait(10)
    polled.clear()
    # The supervisor polls again.
    node.poll_request.set()
    assert polled.wait(10)
    assert "Traceback" not in capfd.readouterr().err
