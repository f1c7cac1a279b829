from collections.abc import Callable

from tests.support.mclu import InProcess

RUNS_GUESTS = "mclu: ham0: cannot switch off: guests db and web are running; shut them down or destroy them first\n"


def test_a_node_is_reported_off_when_it_is_down(demo: InProcess) -> None:
    demo("on ham1 ham2 --wait")
    answer = demo("off ham1")
    assert (answer.status, answer.out, answer.err) == (0, "ham1 off\n", "")
    assert demo.on == ["ham0", "ham2"]


def test_a_node_with_running_guests_is_not_switched_off(demo: InProcess) -> None:
    answer = demo("off ham0")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == RUNS_GUESTS
    assert demo.on == ["ham0"]


def test_no_node_is_switched_off_while_one_runs_guests(demo: InProcess) -> None:
    demo("on ham1 ham2 --wait")
    answer = demo("off 'ham*'")
    assert (answer.status, answer.out) == (1, "ham1 left on\nham2 left on\nham3 off\n")
    assert answer.err == RUNS_GUESTS
    assert demo.on == ["ham0", "ham1", "ham2"]


def test_no_node_is_switched_off_while_one_cannot_be_queried(
    clouds: Callable[..., InProcess], closed_port: int, silent_port: int
) -> None:
    bad, off = (f"address=127.0.0.1 port={port}" for port in (closed_port, silent_port))
    cloud = clouds(f"[nodes]\nbad {bad}\noff {off} connect_timeout=0.2")
    answer = cloud("off '*'")
    assert (answer.status, answer.out) == (1, "off off\n")
    assert answer.err.startswith(f"mclu: bad: ssh: connection refused on port {closed_port}; ")


def test_a_node_that_is_off_already_is_off(demo: InProcess) -> None:
    answer = demo("off ham1")
    assert (answer.status, answer.out, answer.err) == (0, "ham1 off\n", "")


def test_wildcards_switch_off_several(demo: InProcess) -> None:
    demo("on ham1 ham2 --wait")
    assert sorted(demo("off 'ham[123]'").out.splitlines()) == ["ham1 off", "ham2 off", "ham3 off"]
    assert demo.on == ["ham0"]


def test_an_unknown_name_switches_no_node_off(demo: InProcess) -> None:
    demo("on ham1 --wait")
    answer = demo("off ham1 hma2")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == "mclu: no such node 'hma2'; did you mean 'ham2'?\n"
    assert demo("off ham1 'web*'").err.startswith("mclu: no node matches 'web*'; ")
    assert demo.on == ["ham0", "ham1"]


def test_this_machine_is_not_switched_off(clouds: Callable[..., InProcess]) -> None:
    cloud = clouds("[nodes]\nhere via=local uri=test:///default")
    error = cloud("off here").err
    assert error == "mclu: here: cannot switch off: guest test is running; shut it down or destroy it first\n"
