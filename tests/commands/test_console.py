from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.completion import complete
from tests.support.mclu import InProcess
from tests.support.nodes import write_node


def test_a_simulated_node_has_no_consoles(demo: InProcess) -> None:
    answer = demo("console web")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == "mclu: ham0: simulated guests have no consoles\n"


def test_a_node_of_libvirts_test_driver_has_no_consoles(clouds: Callable[..., InProcess]) -> None:
    answer = clouds("[nodes]\nhere via=local uri=test:///default")("console test")
    assert answer.err == "mclu: here: simulated guests have no consoles\n"


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("console nosuch", 1, "no such guest 'nosuch'"),
        ("console ham1:web", 1, "ham1: is off; run 'on ham1'"),
        ("console ham9:web", 1, "no such node 'ham9'"),
        ("console *", 1, "'*' matches ham0:db and ham0:web; name one of them"),
        ("console", 2, "console: the following arguments are required: [HOST:]GUEST"),
        ("console a/b", 2, "bad guest name 'a/b'"),
        ("console web db", 2, "unrecognized arguments: db"),
    ],
)
def test_each_error_is_one_line(demo: InProcess, line: str, status: int, words: str) -> None:
    answer = demo(line.replace("*", "'*'"))
    assert (answer.status, answer.out) == (status, "")
    assert words in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_stopped_guest_is_refused_with_a_remedy(tmp_path: Path, clouds: Callable[..., InProcess]) -> None:
    # test:runstate is an attribute of libvirt's test driver (drvtest.html).
    domain = """<domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>spare</name>
        <memory unit="GiB">1</memory><os><type>hvm</type></os><test:runstate>5</test:runstate></domain>"""
    cloud = clouds(f"[nodes]\n{write_node(tmp_path, 'here', domain)}")
    for command, line in (("console", "console spare"), ("viewer", "viewer spare")):
        assert cloud(line).err == "mclu: here: spare is not running; run 'start here:spare'\n", command


def test_only_running_guests_are_completed(demo: InProcess) -> None:
    demo("list")
    candidates = complete("console ", demo.cloud.snapshot).candidates
    assert [candidate.text for candidate in candidates] == ["db", "web", "ham0:"]
    assert candidates[0].description == "running on ham0, 4G"
