import select
import socket
from collections.abc import Callable

import pytest

from tests.support.mclu import InProcess


def test_waking_a_node_prints_its_mac_address(demo: InProcess) -> None:
    answer = demo("on ham1")
    assert (answer.status, answer.out, answer.err) == (0, "Waking up 74:d4:35:51:ab:87...\n", "")
    assert demo.on == ["ham0", "ham1"]


def test_wildcards_wake_several_in_configuration_order(demo: InProcess) -> None:
    answer = demo("on ham3 'ham[12]'")
    assert answer.out == "".join(f"Waking up 74:d4:35:51:ab:8{digit}...\n" for digit in (7, 8, 9))
    assert demo.on == ["ham0", "ham1", "ham2", "ham3"]


@pytest.mark.parametrize("line", ["on ham1 --wait", "on --wait ham1", "on --wait 60 ham1", "on ham1 --wait=2m"])
def test_waiting_reports_when_a_node_is_up(demo: InProcess, line: str) -> None:
    answer = demo(line)
    assert (answer.status, answer.out, answer.err) == (0, "Waking up 74:d4:35:51:ab:87...\nham1 on\n", "")


def test_waiting_for_a_node_that_does_not_come_up_fails(clouds: Callable[..., InProcess], off_settings: str) -> None:
    answer = clouds(f"[nodes]\nham0 {off_settings} connect_timeout=0.1")("on ham0 --wait 0.2")
    assert (answer.status, answer.err) == (1, "mclu: ham0: not up after 0.2 s: is off\n")


def test_a_node_without_a_mac_cannot_be_woken_and_the_others_are(clouds: Callable[..., InProcess]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        try:
            listener.bind(("127.0.0.1", 9))
        except PermissionError:
            pytest.skip("only root may listen where magic packets are sent")
        listener.settimeout(5)
        config = "[nodes]\nham0\nham1 mac=74:d4:35:51:ab:87 broadcast=127.0.0.1"
        answer = clouds(config)("on '*'")
        packet = listener.recv(1000)
        assert not select.select([listener], [], [], 0)[0]
    assert (answer.status, answer.out) == (1, "Waking up 74:d4:35:51:ab:87...\n")
    assert answer.err == "mclu: ham0: cannot wake it: no mac= in mclu.conf\n"
    # https://en.wikipedia.org/wiki/Wake-on-LAN#Magic_packet
    assert packet == b"\xff" * 6 + bytes.fromhex("74d43551ab87") * 16


def test_a_packet_that_cannot_be_sent_is_reported(clouds: Callable[..., InProcess]) -> None:
    answer = clouds("[nodes]\nham0 mac=74:d4:35:51:ab:86 broadcast=127.0.0.1:x")("on ham0")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith("mclu: ham0: cannot send the magic packet: ")
    assert "set broadcast= in mclu.conf" in answer.err


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("hma1", "mclu: no such node 'hma1'; did you mean 'ham1'?\n"),
        ("ham1 zzz", "mclu: no such node 'zzz'; there are ham0, ham1, ham2, ham3\n"),
        ("ham1 'web*'", "mclu: no node matches 'web*'; there are ham0, ham1, ham2, ham3\n"),
    ],
)
def test_an_unknown_name_wakes_no_node(demo: InProcess, names: str, message: str) -> None:
    answer = demo(f"on {names}")
    assert (answer.status, answer.out, answer.err) == (1, "", message)
    assert demo.on == ["ham0"]


def test_this_machine_cannot_be_woken(clouds: Callable[..., InProcess]) -> None:
    answer = clouds("[nodes]\nhere via=local mac=74:d4:35:51:ab:86")("on here")
    assert (answer.status, answer.out, answer.err) == (1, "", "mclu: here: cannot wake this machine: it is on\n")
