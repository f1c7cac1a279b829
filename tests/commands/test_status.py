from collections.abc import Callable

from tests.support.mclu import InProcess

HAM0_ON = "ham0 on\n  total: 8pcpus 30.9G\n  used:  2guests 4vcpus 6G\n  free: 24.9G\n"


def test_the_output_is_that_of_the_manual(demo: InProcess) -> None:
    answer = demo("status")
    assert (answer.status, answer.out, answer.err) == (0, HAM0_ON + "ham1 off\nham2 off\nham3 off\n", "")


def test_a_node_without_guests_has_no_line_of_used_resources(demo: InProcess) -> None:
    assert demo("on ham1 --wait; status ham1").out.endswith("ham1 on\n  total: 8pcpus 30.9G\n  free: 30.9G\n")


def test_nodes_are_shown_once_and_in_configuration_order(demo: InProcess) -> None:
    assert demo("status ham3 'ham[13]' ham1").out == "ham1 off\nham3 off\n"


def test_a_wildcard_that_matches_nothing_is_an_error(demo: InProcess) -> None:
    answer = demo("status 'web*'")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == "mclu: no node matches 'web*'; there are ham0, ham1, ham2, ham3\n"


def test_an_unknown_node_has_near_misses_and_no_node_is_shown(demo: InProcess) -> None:
    answer = demo("status ham0 hma1")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == "mclu: no such node 'hma1'; did you mean 'ham1'?\n"


def test_each_node_has_its_own_state(clouds: Callable[..., InProcess], silent_port: int, closed_port: int) -> None:
    cloud = clouds(
        "[global]\nconnect_timeout=0.3\n[nodes]\n"
        f"off address=127.0.0.1 port={silent_port}\n"
        f"nosshd address=127.0.0.1 port={closed_port}\n"
        "nowhere address=fe80::1%nosuch\n"
        "good via=local uri=test:///default\n"
    )
    answer = cloud("status")
    states = [line for line in answer.out.splitlines() if not line.startswith(" ")]
    assert answer.status == 1
    assert states[:2] == ["off off", f"nosshd on, ssh: connection refused on port {closed_port}"]
    assert states[2].startswith("nowhere unknown, cannot resolve 'fe80::1%nosuch' (")
    assert states[3:] == ["good on"]
    errors = answer.err.splitlines()
    assert [line.split(": ")[1] for line in errors] == ["nosshd", "nowhere"]
    assert "start sshd at its console" in errors[0]
    assert "set address= in mclu.conf" in errors[1]


def test_nodes_that_are_off_are_no_failure(clouds: Callable[..., InProcess], silent_port: int) -> None:
    answer = clouds(f"[nodes]\nham0 address=127.0.0.1 port={silent_port} connect_timeout=0.2")("status; status ham0")
    assert (answer.status, answer.out, answer.err) == (0, "ham0 off\nham0 off\n", "")
