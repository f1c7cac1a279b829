from collections.abc import Callable

import pytest

from tests.support.mclu import InProcess


@pytest.mark.parametrize("line", ["viewer web", "viewer --print web", "viewer ham0:web"])
def test_a_simulated_node_has_no_screens(demo: InProcess, line: str) -> None:
    answer = demo(line)
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == "mclu: ham0: simulated guests have no screens\n"


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("viewer nosuch", 1, "no such guest 'nosuch'"),
        ("viewer ham1:web", 1, "ham1: is off; run 'on ham1'"),
        ("viewer", 2, "viewer: the following arguments are required: [HOST:]GUEST"),
    ],
)
def test_each_error_is_one_line(demo: InProcess, line: str, status: int, words: str) -> None:
    answer = demo(line)
    assert (answer.status, answer.out) == (status, "")
    assert words in answer.err


def test_a_guest_on_two_nodes_must_be_named_with_its_node(clouds: Callable[..., InProcess]) -> None:
    cloud = clouds("[nodes]\na via=local uri=test:///default\nb via=local uri=test:///default")
    assert cloud("viewer test").err == "mclu: test is on a and b; specify the host: a:test\n"
