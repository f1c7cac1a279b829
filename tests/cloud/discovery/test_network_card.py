"""Network cards and neighbour tables, from the output of the node's commands."""

import pytest

from mclu_shell.cloud.discovery.neighbours import find_mac, parse_neighbours
from mclu_shell.cloud.discovery.network_card import NetworkCard, parse_report
from tests.support.ssh_target import make_target

ENO1 = "card eno1 74:D4:35:51:ab:86 physical yes"
ENO2 = "card eno2 74:d4:35:51:ab:87 physical no"
VETH = "card veth0 02:00:00:00:00:01 virtual unknown"


@pytest.mark.parametrize(
    ("lines", "card"),
    [
        ([ENO1], NetworkCard("eno1", "74:d4:35:51:ab:86", is_armed=True)),
        ([VETH, ENO2], NetworkCard("eno2", "74:d4:35:51:ab:87", is_armed=False)),
        (["top 74:d4:35:51:ab:87", ENO1, ENO2], NetworkCard("eno2", "74:d4:35:51:ab:87", is_armed=False)),
        (["top 74:d4:35:51:ab:87", VETH], NetworkCard("veth0", "02:00:00:00:00:01", is_armed=None)),
        (["card lo 00:00:00:00:00:00 virtual unknown", "card ib0 80:00:00:48:fe:80 physical yes x"], None),
        (["card tun0 none virtual unknown", "card", ""], None),
    ],
)
def test_a_card_is_the_hardware_with_the_mac_of_the_connection(lines: list[str], card: NetworkCard | None) -> None:
    assert parse_report("\n".join(lines)).card == card


def test_a_report_has_the_machine_and_its_neighbours() -> None:
    report = parse_report("machine a-b net:[1]\nneighbour 10.0.0.7 dev eno1 lladdr 52:54:00:73:00:AA STALE\n")
    assert (report.machine, report.neighbours) == ("a-b net:[1]", {"10.0.0.7": "52:54:00:73:00:aa"})


def test_failed_entries_of_a_neighbour_table_have_no_mac() -> None:
    lines = ["10.0.0.1 dev eth0 FAILED", "fe80::1 dev eth0 lladdr 52:54:00:00:00:01 router STALE", "x lladdr"]
    assert parse_neighbours(lines) == {"fe80::1": "52:54:00:00:00:01"}


def test_the_neighbour_table_says_nothing_about_a_host_behind_a_proxy() -> None:
    neighbours = {"127.0.0.1": "52:54:00:00:00:01"}
    assert find_mac(make_target(), neighbours) == "52:54:00:00:00:01"
    assert find_mac(make_target(proxy="nc %h %p"), neighbours) is None
    assert find_mac(make_target("10.0.0.1"), neighbours) is None
