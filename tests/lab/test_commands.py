"""status, list, on, off and help on real nodes: sshd, libvirtd, QEMU guests and magic packets."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mclu_shell.units import format_size
from tests.lab.support.cli import (
    background,
    describe_guest,
    end_guests,
    is_on,
    mclu,
    mclu_parallel,
    python,
    run_guest,
    virsh,
    wait_until,
)
from tests.lab.support.lab import RealLab
from tests.support.templates import write_template

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])

# For the tests that switch ham1 on.
ONLY_HAM0 = pytest.mark.lab(on=["ham0"])
ON = r"{} on\n  total: \d+pcpus [\d.]+[GT]\n  free: [\d.]+[MGT]\n"


@pytest.fixture
def stopped_guest(lab: RealLab) -> Iterator[str]:
    """The name of a guest that is defined on ham1 and shut off."""
    virsh(lab, "ham1", "define", describe_guest(lab, "ham1", "spare", memory_mib=128, vcpus=3))
    yield "spare"
    lab.on("ham1")
    virsh(lab, "ham1", "undefine", "spare")


# status


def test_status_shows_the_processors_and_memory_of_nodes(lab: RealLab) -> None:
    cpus = re.search(r"^CPU\(s\): +(\d+)", virsh(lab, "ham0", "nodeinfo"), re.MULTILINE)
    memory = re.search(r"^total *: *(\d+) KiB", virsh(lab, "ham0", "nodememstats"), re.MULTILINE)
    assert cpus
    assert memory
    result = mclu(lab, "status")
    assert (result.status, result.err) == (0, "")
    assert re.fullmatch(ON.format("ham0") + ON.format("ham1") + "ham2 off\nham3 off\n", result.out), result.out
    assert result.lines[1] == f"  total: {cpus[1]}pcpus {format_size(int(memory[1]) << 10)}"


def test_status_counts_running_guests(lab: RealLab, stopped_guest: str) -> None:
    run_guest(lab, "ham1", "web", memory_mib=64, vcpus=1)
    run_guest(lab, "ham1", "db", memory_mib=96, vcpus=2)
    result = mclu(lab, "status", "ham[12]")
    assert result.lines[2] == "  used:  2guests 3vcpus 160M"
    assert [line for line in result.lines if not line.startswith(" ")] == ["ham1 on", "ham2 off"]


@ONLY_HAM0
def test_status_shows_nodes_that_are_off(lab: RealLab) -> None:
    lab.off("ham0")
    result = mclu(lab, "status")
    assert (result.status, result.out, result.err) == (0, "ham0 off\nham1 off\nham2 off\nham3 off\n", "")


@pytest.mark.parametrize("packets", [1, 2])
def test_status_shows_a_node_as_on_despite_lost_packets(lab: RealLab, packets: int) -> None:
    lab.lose("ham0", packets)
    result = mclu(lab, "status", "ham0")
    assert (result.status, result.lines[0], result.err) == (0, "ham0 on", "")


# list


def _guests(lab: RealLab, *options: str) -> list[list[str]]:
    result = mclu(lab, "list", *options)
    assert (result.status, result.err) == (0, "")
    return [line.split() for line in result.lines]


def _virsh_guests(lab: RealLab, node: str, *which: str) -> list[list[str]]:
    """Return the guests of a node from virsh, in the columns of `list`."""
    guests = []
    for domain in virsh(lab, node, "domstats", *which).split("Domain: ")[1:]:
        name = domain.splitlines()[0].strip("'")
        stats = dict(line.strip().split("=") for line in domain.splitlines()[1:] if "=" in line)
        state = {"1": ["running"], "3": ["paused"], "5": ["shut", "off"]}[stats["state.state"]]
        memory = format_size(int(stats["balloon.maximum"]) << 10)
        guests.append([f"{node}:{name}", *state, memory, f"{stats['vcpu.current']}vcpus"])
    return sorted(guests)


def test_list_shows_the_same_guests_as_virsh(lab: RealLab, stopped_guest: str) -> None:
    run_guest(lab, "ham0", "web", vcpus=2)
    run_guest(lab, "ham1", "db", memory_mib=96)
    virsh(lab, "ham1", "suspend", "db")
    running = [guest for node in ("ham0", "ham1") for guest in _virsh_guests(lab, node, "--list-active")]
    assert [guest[0] for guest in running] == ["ham0:web", "ham1:db"]
    assert _guests(lab, "--active") == running
    assert running[1][1] == "paused"
    assert _guests(lab, "--inactive") == _virsh_guests(lab, "ham1", "--list-inactive")
    assert _guests(lab, "--inactive") == [["ham1:spare", "shut", "off", "128M", "3vcpus"]]


def test_list_shows_guests_and_templates(lab: RealLab) -> None:
    run_guest(lab, "ham0", "web")
    template = write_template(lab.path / "home", "odd", base_image="echo odd-1")
    completed = lab.run("env", f"MCLU_PATH={template.parent}", "mclu", "list")
    template.unlink()
    assert [line.split()[:2] for line in completed.stdout.splitlines()] == [
        ["ham0:web", "running"],
        ["odd", "template"],
    ]
    assert completed.returncode == 0


# on


@ONLY_HAM0
def test_on_sends_a_magic_packet(lab: RealLab) -> None:
    result = mclu(lab, "on", "ham1")
    assert (result.status, result.err) == (0, "")
    assert re.fullmatch(r"Waking up [0-9a-f:]{17}\.\.\.\n", result.out)
    lab.wait("on", "ham1")
    assert not is_on(lab, "ham2")


@ONLY_HAM0
def test_on_waits_until_libvirt_answers(lab: RealLab) -> None:
    result = mclu(lab, "on", "ham[12]", "--wait")
    assert (result.status, result.err) == (0, "")
    assert sorted(result.lines[2:]) == ["ham1 on", "ham2 on"]
    assert virsh(lab, "ham1", "list") == virsh(lab, "ham2", "list") == ""


@ONLY_HAM0
def test_on_reports_a_node_that_does_not_come_up_in_time(lab: RealLab, ssh_files: Path) -> None:
    config = lab.path / "mclu.conf"
    config.write_text(re.sub("(ham3 mac=).*", r"\g<1>52:54:00:ff:ff:ff", config.read_text()))
    result = mclu(lab, "on", "ham3", "ham1", "--wait", "2")
    result.assert_error("ham3", "not up after 2 s", "off")
    assert result.lines[2:] == ["ham1 on"]


@ONLY_HAM0
def test_on_reports_a_node_without_a_mac_address(lab: RealLab, ssh_files: Path) -> None:
    config = lab.path / "mclu.conf"
    config.write_text(re.sub("ham1 mac=.*", "ham1", config.read_text()))
    result = mclu(lab, "on", "ham1", "ham2", "--wait")
    result.assert_error("ham1", "mac=", "mclu.conf")
    assert result.lines[1:] == ["ham2 on"]


# off


def test_off_switches_a_node_off_and_reports_it(lab: RealLab) -> None:
    result = mclu(lab, "off", "ham1")
    assert (result.status, result.out, result.err) == (0, "ham1 off\n", "")
    assert lab.states() == {"ham0": "on", "ham1": "off", "ham2": "off", "ham3": "off"}


@ONLY_HAM0
def test_off_accepts_nodes_that_are_off(lab: RealLab) -> None:
    result = mclu(lab, "off", "ham[123]")
    assert (result.status, sorted(result.lines), result.err) == (0, ["ham1 off", "ham2 off", "ham3 off"], "")
    assert is_on(lab, "ham0")


@pytest.mark.parametrize("state", ["running", "paused"])
def test_off_switches_no_node_off_while_a_guest_runs_on_one(lab: RealLab, state: str) -> None:
    run_guest(lab, "ham1", "web")
    if state == "paused":
        virsh(lab, "ham1", "suspend", "web")
    result = mclu(lab, "off", "ham0", "ham1")
    result.assert_error("ham1", "cannot switch off", "web")
    assert result.out == "ham0 left on\n"
    assert is_on(lab, "ham0", "ham1")
    assert virsh(lab, "ham1", "domstate", "web").split() == [state]


def test_off_ignores_guests_that_are_shut_off(lab: RealLab, stopped_guest: str) -> None:
    result = mclu(lab, "off", "ham1")
    assert (result.status, result.lines) == (0, ["ham1 off"])
    assert not is_on(lab, "ham1")


OFF_WITH_A_LATE_GUEST = """
import os, subprocess, sys
from pathlib import Path
from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.open import open_cloud
from mclu_shell.cloud.power import check_power_off, switch_off
from mclu_shell.config import load_config
cloud = open_cloud(load_config(Path(os.environ["MCLU_CONFIG"])))
nodes = cloud.match(["ham0", "ham1"])
assert not any(outcome.error for outcome in check_power_off(cloud, nodes))
subprocess.run(["ssh", "ham1", "virsh", "-q", "create", sys.argv[1]], check=True, stdout=subprocess.DEVNULL)
for outcome in switch_off(nodes, CancelScope()):
    print(outcome.item.name, outcome.error)
"""


def test_off_leaves_a_node_on_whose_guest_started_after_the_check(lab: RealLab) -> None:
    description = describe_guest(lab, "ham1", "late")
    output = python(lab, OFF_WITH_A_LATE_GUEST, description)
    error = "ham1: cannot switch off: guest late is running; shut it down or destroy it first"
    assert sorted(output.splitlines()) == ["ham0 None", f"ham1 {error}"]
    assert lab.states()["ham0"] == "off"
    assert virsh(lab, "ham1", "domstate", "late").split() == ["running"]


def test_off_reports_a_failed_poweroff(lab: RealLab) -> None:
    lab.run("tee", "/tmp/poweroff", node="ham1", input="#!/bin/sh\necho no such luck >&2; exit 1\n")
    install = "chmod +x /tmp/poweroff && mount --bind /tmp/poweroff /usr/local/sbin/poweroff"
    assert lab.run("sh", "-c", install, node="ham1").returncode == 0
    result = mclu(lab, "off", "ham0", "ham1")
    result.assert_error("ham1", "poweroff failed: no such luck")
    assert result.out == "ham0 off\n"
    assert lab.states()["ham1"] == "on"
    lab.off("ham1")


def test_off_waits_for_a_slow_poweroff(lab: RealLab) -> None:
    # The node answers, so it is not down, until the test opens the gate.
    script = "#!/bin/sh\nsetsid sh -c 'read -r line </tmp/gate; exec /tmp/real/poweroff' >/dev/null 2>&1 &\n"
    lab.run("tee", "/tmp/poweroff", node="ham1", input=script)
    install = "mkfifo /tmp/gate; cp -r /usr/local/sbin /tmp/real; chmod +x /tmp/poweroff; "
    install += "mount --bind /tmp/poweroff /usr/local/sbin/poweroff"
    assert lab.run("sh", "-c", install, node="ham1").returncode == 0
    with background(lab, "off", "ham1") as command:
        # mclu polls the node, which the log of its sshd shows.
        wait_until(lambda: lab.run("cat", "/var/log/sshd", node="ham1").stdout.count("Connection closed by") > 2)
        assert command.poll() is None
        lab.run("sh", "-c", "echo >/tmp/gate", node="ham1")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out, err) == (0, "ham1 off\n", "")
    assert not is_on(lab, "ham1")


# Names


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("status ham1*9", "mclu: no node matches 'ham1*9'; there are ham0, ham1, ham2, ham3\n"),
        ("off ham0 web*", "mclu: no node matches 'web*'; there are ham0, ham1, ham2, ham3\n"),
        ("on ham1 ham44", "mclu: no such node 'ham44'; did you mean "),
    ],
)
@ONLY_HAM0
def test_a_name_that_matches_no_node_stops_the_command(lab: RealLab, line: str, message: str) -> None:
    result = mclu(lab, *line.split())
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(message)
    assert len(result.err.splitlines()) == 1
    assert lab.states() == {"ham0": "on", "ham1": "off", "ham2": "off", "ham3": "off"}


# Command line, scripts and standard input


@ONLY_HAM0
def test_arguments_scripts_and_standard_input_give_the_same_result(lab: RealLab, tmp_path: Path) -> None:
    script = tmp_path / "x.mclu"
    script.write_text("#!/usr/bin/env mclu\n# which are on\nlist --active; status ham1 \\\n  ham2\n")
    script.chmod(0o755)
    commands = [("-c", "status ham1 ham2"), ("status", "ham[12]"), (str(script),)]
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda words: mclu(lab, *words), commands))
        itself = lab.run(str(script))
    from_stdin = mclu(lab, "-", stdin="status ham1 ham2\n")
    assert [result.out for result in (*results, from_stdin)] == ["ham1 off\nham2 off\n"] * 4
    assert itself.stdout == "ham1 off\nham2 off\n"


@ONLY_HAM0
def test_a_script_stops_at_its_first_failure_with_the_line_number(lab: RealLab, tmp_path: Path) -> None:
    run_guest(lab, "ham0", "web")
    script = tmp_path / "night.mclu"
    script.write_text("on ham1 --wait\n\noff ham0 ham1\non ham2\n")
    stopped, kept_going = mclu_parallel(lab, str(script), f"-k {script}")
    error = "cannot switch off: guest web is running; shut it down or destroy it first"
    assert stopped.err == f"mclu: {script}:3: ham0: {error}\n"
    assert (stopped.status, stopped.lines[1:]) == (1, ["ham1 on", "ham1 left on"])
    assert (kept_going.status, len(kept_going.lines)) == (1, 4)
    end_guests(lab, "ham0")


def test_help_needs_no_nodes_and_no_configuration(lab: RealLab) -> None:
    completed = lab.run("mclu", "-f", "/nowhere", "help")
    assert completed.returncode == 0
    assert {"status", "list", "on", "off", "help"} <= {
        line.split()[0] for line in completed.stdout.splitlines() if line
    }
