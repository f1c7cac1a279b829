"""init on real nodes: candidates, network cards, nodes that are off, questions, and the file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mclu_shell.cloud.discovery.network_card import SCRIPT, parse_report
from tests.lab.support.cli import Result, mclu
from tests.lab.support.lab import RealLab
from tests.shell.terminal import CTRL_C, Terminal
from tests.support.mclu import MCLU

# An interface on a bridge, whose ports are a guest's interface, the first by name, and a card.
BRIDGE = """
ip link add card0 address 52:54:00:00:00:01 type veth peer name far0
ip link add bridge0 type bridge
ip tuntap add a-guest0 mode tap
ip link set a-guest0 address 02:00:00:00:00:01 master bridge0
ip link set card0 master bridge0
ip link add link bridge0 name host0 type macvlan
ip addr add 10.99.0.1/24 dev host0
"""

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])


@pytest.fixture
def conf(lab: RealLab, ssh_files: Path, short_directory: Path) -> Iterator[Path]:
    """The path of a configuration to write; ~/.ssh/config has ham0, and includes a file with ham1."""
    (ssh_files / "more").write_text("Host ham1 *.example\n")
    config = ssh_files / "config"
    config.write_text(f"Include more\n{config.read_text()}Host ham0\nHost alias\n  HostName ham0\n")
    # A longer path would break the question over two lines of the terminal.
    yield short_directory / "new/mclu.conf"
    lab.remember("ham0", "ham1")


def init(lab: RealLab, conf: Path, *words: str) -> Result:
    return mclu(lab, "-f", str(conf), "init", *words)


def node_lines(conf: Path) -> list[str]:
    """Return the lines after [nodes], without the comments at their ends."""
    lines = conf.read_text().partition("[nodes]\n")[2].splitlines()
    return [line.partition(" #")[0].rstrip() for line in lines if not line.startswith("# ")]


def test_init_writes_the_nodes_with_the_macs_of_their_cards(lab: RealLab, conf: Path) -> None:
    # The lab's bridge may change its own MAC when a node goes, and the kernel then empties the neighbour table.
    entry = "10.73.1.3 lladdr 52:54:00:73:00:02 dev lan0 nud stale"
    assert lab.run("ip", "neigh", "replace", *entry.split()).returncode == 0
    result = init(lab, conf, "--yes")
    assert (result.status, result.err) == (0, ""), result
    assert node_lines(conf)[:3] == [
        "ham1 mac=52:54:00:73:00:01",
        "ham0 mac=52:54:00:73:00:00",
        "ham2 mac=52:54:00:73:00:02",
    ]
    assert re.search("^alias +SSH configuration +the same machine as ham0$", result.out, re.MULTILINE), result.out
    assert mclu(lab, "-f", str(conf), "status", "ham[01]").out.count(" on\n") == 2
    # A second run adds nothing.
    before = conf.read_bytes()
    again = init(lab, conf, "ham0", "--yes")
    assert (again.status, again.lines[-1]) == (0, "Nothing was written.")
    assert conf.read_bytes() == before


def test_hosts_that_are_no_nodes_are_listed_and_not_written(lab: RealLab, conf: Path) -> None:
    lab.forget("ham1")
    result = mclu(lab, "-o", "json", "-f", str(conf), "init", "--yes", "ham0", "ham1", "root@ham3", "no.such")
    records = [json.loads(line) for line in result.lines]
    hosts = {record["name"]: record for record in records if record["kind"] == "candidate"}
    assert {name: host["power"] for name, host in hosts.items()} == {
        "ham0": "on", "ham1": "on", "ham3": "off", "no.such": "unknown",
    }  # fmt: skip
    assert [name for name, host in hosts.items() if host["is_new"]] == ["ham0", "ham3"]
    # The user named the others.
    assert result.status == 1
    assert [record["place"] for record in records if record["kind"] == "error"] == ["ham1", "no.such"]
    assert [line.split()[0] for line in node_lines(conf)] == ["ham0", "ham3"]
    assert "user=root" in node_lines(conf)[1]


def test_a_dry_run_and_a_pipe_write_nothing(lab: RealLab, conf: Path) -> None:
    dry = mclu(lab, "-n", "-f", str(conf), "init", "ham0", "ham1")
    assert (dry.status, dry.lines[-1]) == (0, f"would write {conf}: ham0, ham1")
    pipe = init(lab, conf, "ham0")
    assert (pipe.status, pipe.out) == (1, "")
    assert pipe.err == "mclu: init: cannot ask without a terminal; add --yes to write without a question\n"
    assert not conf.parent.exists()


def test_mclu_without_a_configuration_offers_init_and_asks_for_host_keys(lab: RealLab, conf: Path) -> None:
    lab.forget("ham1")
    program, *words = lab.command(str(MCLU), "-f", str(conf))
    shell = Terminal(*words, program=program)
    shell.read_until(lambda screen: "Find your nodes and write it now? [y/N]" in screen)
    shell.type("y\r")
    shell.read_until(lambda screen: "fingerprint])?" in screen)
    shell.type("yes\r")
    shell.read_until(lambda screen: "ham1" in screen and screen.endswith("? [y/N]"))
    shell.type(CTRL_C)
    assert shell.status() == 130
    assert not conf.parent.exists()


def test_the_card_is_found_below_bridges(lab: RealLab) -> None:
    made = lab.run("sh", "-ec", BRIDGE, node="ham1")
    assert made.returncode == 0, made.stderr
    connection = "SSH_CONNECTION=10.99.0.2 50000 ::ffff:10.99.0.1 22"
    report = parse_report(lab.run("env", connection, *SCRIPT, node="ham1").stdout)
    lab.run("sh", "-c", "ip link del host0; ip link del bridge0; ip link del card0; ip link del a-guest0", node="ham1")
    assert report.card is not None
    assert (report.card.name, report.card.mac) == ("card0", "52:54:00:00:00:01")
