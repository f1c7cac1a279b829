"""status, list, on, off and help on real nodes: sshd, libvirtd, QEMU guests and magic packets."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mclu_shell.units import format_size
from tests.lab.support.cli import (
    at_once,
    describe_guest,
    end_guests,
    is_on,
    mclu,
    python,
    run_guest,
    started,
    until,
    virsh,
)
from tests.lab.support.lab import RealLab

ON = r"{} on\n  total: \d+pcpus [\d.]+[GT]\n  free: [\d.]+[MGT]\n"


@pytest.fixture
def nodes(lab4: RealLab) -> RealLab:
    """ham0 and ham1 are on and run nothing."""
    lab4.power(on=["ham0", "ham1"])
    end_guests(lab4, "ham0", "ham1")
    return lab4


@pytest.fixture
def stopped_guest(nodes: RealLab) -> Iterator[str]:
    """A guest that is defined on ham1 and does not run."""
    virsh(nodes, "ham1", "define", describe_guest(nodes, "ham1", "spare", memory_mib=128, vcpus=3))
    yield "spare"
    nodes.on("ham1")
    virsh(nodes, "ham1", "undefine", "spare")


# status


def test_status_says_what_the_nodes_say(nodes: RealLab) -> None:
    cpus = re.search(r"^CPU\(s\): +(\d+)", virsh(nodes, "ham0", "nodeinfo"), re.MULTILINE)
    memory = re.search(r"^total *: *(\d+) KiB", virsh(nodes, "ham0", "nodememstats"), re.MULTILINE)
    assert cpus
    assert memory
    told = mclu(nodes, "status")
    assert (told.status, told.err) == (0, "")
    assert re.fullmatch(ON.format("ham0") + ON.format("ham1") + "ham2 off\nham3 off\n", told.out), told.out
    assert told.lines[1] == f"  total: {cpus[1]}pcpus {format_size(int(memory[1]) << 10)}"


def test_status_counts_what_runs(nodes: RealLab, stopped_guest: str) -> None:
    run_guest(nodes, "ham1", "web", memory_mib=64, vcpus=1)
    run_guest(nodes, "ham1", "db", memory_mib=96, vcpus=2)
    told = mclu(nodes, "status", "ham[12]")
    assert told.lines[2] == "  used:  2guests 3vcpus 160M"
    assert [line for line in told.lines if not line.startswith(" ")] == ["ham1 on", "ham2 off"]


def test_status_when_all_are_off(cloud: RealLab) -> None:
    cloud.off("ham0")
    told = mclu(cloud, "status")
    assert (told.status, told.out, told.err) == (0, "ham0 off\nham1 off\nham2 off\nham3 off\n", "")


@pytest.mark.parametrize("packets", [1, 2])
def test_lost_packets_do_not_make_a_node_look_off(cloud: RealLab, packets: int) -> None:
    cloud.lose("ham0", packets)
    told = mclu(cloud, "status", "ham0")
    assert (told.status, told.lines[0], told.err) == (0, "ham0 on", "")


# list


def _guests(lab: RealLab, *options: str) -> list[list[str]]:
    told = mclu(lab, "list", *options)
    assert (told.status, told.err) == (0, "")
    return [line.split() for line in told.lines]


def _virsh_guests(lab: RealLab, node: str, *which: str) -> list[list[str]]:
    """What virsh on the node says, in the columns of our list."""
    found = []
    for domain in virsh(lab, node, "domstats", *which).split("Domain: ")[1:]:
        name = domain.splitlines()[0].strip("'")
        told = dict(line.strip().split("=") for line in domain.splitlines()[1:] if "=" in line)
        state = {"1": ["running"], "3": ["paused"], "5": ["shut", "off"]}[told["state.state"]]
        memory = format_size(int(told["balloon.maximum"]) << 10)
        found.append([f"{node}:{name}", *state, memory, f"{told['vcpu.current']}vcpus"])
    return sorted(found)


def test_list_says_what_virsh_says(nodes: RealLab, stopped_guest: str) -> None:
    run_guest(nodes, "ham0", "web", vcpus=2)
    run_guest(nodes, "ham1", "db", memory_mib=96)
    virsh(nodes, "ham1", "suspend", "db")
    running = [guest for node in ("ham0", "ham1") for guest in _virsh_guests(nodes, node, "--list-active")]
    assert [guest[0] for guest in running] == ["ham0:web", "ham1:db"]
    assert _guests(nodes, "--active") == running
    assert running[1][1] == "paused"
    assert _guests(nodes, "--inactive") == _virsh_guests(nodes, "ham1", "--list-inactive")
    assert _guests(nodes, "--inactive") == [["ham1:spare", "shut", "off", "128M", "3vcpus"]]


def test_list_has_guests_and_templates(nodes: RealLab) -> None:
    run_guest(nodes, "ham0", "web")
    template = nodes.path / "home/odd.template"
    template.write_text("#!/bin/sh\ncase $1 in probe) echo hello;; base-image) echo odd-1;; *) exit 2;; esac\n")
    template.chmod(0o755)
    done = nodes.run("env", f"MCLU_PATH={template.parent}", "mclu", "list")
    template.unlink()
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [["ham0:web", "running"], ["odd", "template"]]
    assert done.returncode == 0


# on


def test_on_wakes(cloud: RealLab) -> None:
    told = mclu(cloud, "on", "ham1")
    assert (told.status, told.err) == (0, "")
    assert re.fullmatch(r"Waking up [0-9a-f:]{17}\.\.\.\n", told.out)
    cloud.wait("on", "ham1")
    assert not is_on(cloud, "ham2")


def test_on_waits_until_libvirt_answers(cloud: RealLab) -> None:
    told = mclu(cloud, "on", "ham[12]", "--wait")
    assert (told.status, told.err) == (0, "")
    assert sorted(told.lines[2:]) == ["ham1 on", "ham2 on"]
    assert virsh(cloud, "ham1", "list") == virsh(cloud, "ham2", "list") == ""


def test_on_tells_when_a_node_does_not_come(cloud: RealLab, ssh_files: Path) -> None:
    config = cloud.path / "mclu.conf"
    config.write_text(re.sub("(ham3 mac=).*", r"\g<1>52:54:00:ff:ff:ff", config.read_text()))
    told = mclu(cloud, "on", "ham3", "ham1", "--wait", "2")
    told.complains("ham3", "not up after 2 s", "off")
    assert told.lines[2:] == ["ham1 on"]


def test_on_tells_which_node_has_no_mac(cloud: RealLab, ssh_files: Path) -> None:
    config = cloud.path / "mclu.conf"
    config.write_text(re.sub("ham1 mac=.*", "ham1", config.read_text()))
    told = mclu(cloud, "on", "ham1", "ham2", "--wait")
    told.complains("ham1", "mac=", "mclu.conf")
    assert told.lines[1:] == ["ham2 on"]


# off


def test_off_reports_a_node_that_is_down(nodes: RealLab) -> None:
    told = mclu(nodes, "off", "ham1")
    assert (told.status, told.out, told.err) == (0, "ham1 off\n", "")
    assert nodes.states() == {"ham0": "on", "ham1": "off", "ham2": "off", "ham3": "off"}


def test_off_of_nodes_that_are_off_already(cloud: RealLab) -> None:
    told = mclu(cloud, "off", "ham[123]")
    assert (told.status, sorted(told.lines), told.err) == (0, ["ham1 off", "ham2 off", "ham3 off"], "")
    assert is_on(cloud, "ham0")


@pytest.mark.parametrize("state", ["running", "paused"])
def test_off_touches_no_node_while_a_guest_runs_on_one(nodes: RealLab, state: str) -> None:
    run_guest(nodes, "ham1", "web")
    if state == "paused":
        virsh(nodes, "ham1", "suspend", "web")
    told = mclu(nodes, "off", "ham0", "ham1")
    told.complains("ham1", "not switched off", "web")
    assert told.out == "ham0 left on\n"
    assert is_on(nodes, "ham0", "ham1")
    assert virsh(nodes, "ham1", "domstate", "web").split() == [state]


def test_off_minds_no_guest_that_does_not_run(nodes: RealLab, stopped_guest: str) -> None:
    told = mclu(nodes, "off", "ham1")
    assert (told.status, told.lines) == (0, ["ham1 off"])
    assert not is_on(nodes, "ham1")


OFF_WITH_A_GUEST_THAT_COMES_LATE = """
import os, subprocess, sys, threading
from pathlib import Path
from mclu_shell.cloud.open import open_cloud
from mclu_shell.cloud.power import check_power_off, switch_off
from mclu_shell.config import load_config
cloud = open_cloud(load_config(Path(os.environ["MCLU_CONFIG"])))
nodes = cloud.match(["ham0", "ham1"])
assert not any(outcome.error for outcome in check_power_off(cloud, nodes))
subprocess.run(["ssh", "ham1", "virsh", "-q", "create", sys.argv[1]], check=True, stdout=subprocess.DEVNULL)
for outcome in switch_off(nodes, threading.Event()):
    print(outcome.item.name, outcome.error)
"""


def test_a_guest_that_is_started_after_the_check_keeps_its_node_on(nodes: RealLab) -> None:
    description = describe_guest(nodes, "ham1", "late")
    said = python(nodes, OFF_WITH_A_GUEST_THAT_COMES_LATE, description)
    assert sorted(said.splitlines()) == ["ham0 None", "ham1 ham1: not switched off: guest running: late"]
    assert nodes.states()["ham0"] == "off"
    assert virsh(nodes, "ham1", "domstate", "late").split() == ["running"]


def test_off_claims_nothing_when_poweroff_fails(nodes: RealLab) -> None:
    nodes.run("tee", "/tmp/poweroff", node="ham1", input="#!/bin/sh\necho no such luck >&2; exit 1\n")
    install = "chmod +x /tmp/poweroff && mount --bind /tmp/poweroff /usr/local/sbin/poweroff"
    assert nodes.run("sh", "-c", install, node="ham1").returncode == 0
    told = mclu(nodes, "off", "ham0", "ham1")
    told.complains("ham1", "poweroff failed: no such luck")
    assert told.out == "ham0 off\n"
    assert nodes.states()["ham1"] == "on"
    nodes.off("ham1")


def test_off_waits_for_a_node_that_takes_its_time(nodes: RealLab) -> None:
    # It answers, and so it is not down, until the test lets it go on.
    script = "#!/bin/sh\nsetsid sh -c 'read -r line </tmp/gate; exec /tmp/real/poweroff' >/dev/null 2>&1 &\n"
    nodes.run("tee", "/tmp/poweroff", node="ham1", input=script)
    install = "mkfifo /tmp/gate; cp -r /usr/local/sbin /tmp/real; chmod +x /tmp/poweroff; "
    install += "mount --bind /tmp/poweroff /usr/local/sbin/poweroff"
    assert nodes.run("sh", "-c", install, node="ham1").returncode == 0
    with started(nodes, "off", "ham1") as command:
        # It is looked at again and again, as its sshd notes.
        until(lambda: nodes.run("cat", "/var/log/sshd", node="ham1").stdout.count("Connection closed by") > 2)
        assert command.poll() is None
        nodes.run("sh", "-c", "echo >/tmp/gate", node="ham1")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out, err) == (0, "ham1 off\n", "")
    assert not is_on(nodes, "ham1")


# Names


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("status ham1*9", "mclu: no node matches 'ham1*9'; there are ham0, ham1, ham2, ham3\n"),
        ("off ham0 web*", "mclu: no node matches 'web*'; there are ham0, ham1, ham2, ham3\n"),
        ("on ham1 ham44", "mclu: no such node 'ham44'; did you mean "),
    ],
)
def test_a_name_that_means_no_node_stops_all(cloud: RealLab, line: str, complaint: str) -> None:
    told = mclu(cloud, *line.split())
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith(complaint)
    assert len(told.err.splitlines()) == 1
    assert cloud.states() == {"ham0": "on", "ham1": "off", "ham2": "off", "ham3": "off"}


# Doors


def test_every_door_leads_to_the_same_answer(cloud: RealLab, tmp_path: Path) -> None:
    script = tmp_path / "x.mclu"
    script.write_text("#!/usr/bin/env mclu\n# which are on\nlist --active; status ham1 \\\n  ham2\n")
    script.chmod(0o755)
    typed = [("-c", "status ham1 ham2"), ("status", "ham[12]"), (str(script),)]
    with ThreadPoolExecutor() as pool:
        told = list(pool.map(lambda words: mclu(cloud, *words), typed))
        itself = cloud.run(str(script))
    given = mclu(cloud, "-", given="status ham1 ham2\n")
    assert [each.out for each in (*told, given)] == ["ham1 off\nham2 off\n"] * 4
    assert itself.stdout == "ham1 off\nham2 off\n"


def test_a_script_stops_at_its_first_failure_and_says_where(cloud: RealLab, tmp_path: Path) -> None:
    run_guest(cloud, "ham0", "web")
    script = tmp_path / "night.mclu"
    script.write_text("on ham1 --wait\n\noff ham0 ham1\non ham2\n")
    stopped, went_on = at_once(cloud, str(script), f"-k {script}")
    assert stopped.err == f"mclu: {script}:3: ham0: not switched off: guest running: web\n"
    assert (stopped.status, stopped.lines[1:]) == (1, ["ham1 on", "ham1 left on"])
    assert (went_on.status, len(went_on.lines)) == (1, 4)
    end_guests(cloud, "ham0")


def test_help_needs_neither_nodes_nor_configuration(cloud: RealLab) -> None:
    done = cloud.run("mclu", "-f", "/nowhere", "help")
    assert done.returncode == 0
    assert {"status", "list", "on", "off", "help"} <= {line.split()[0] for line in done.stdout.splitlines() if line}
