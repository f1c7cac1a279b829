"""The example scripts, on real nodes."""

import re
from pathlib import Path

import pytest

from tests.lab.support.cli import background, describe_guest, is_on, mclu, run_guest, virsh
from tests.lab.support.guests import states
from tests.lab.support.lab import REPOSITORY, RealLab

pytestmark = [pytest.mark.lab(on=["ham0"]), pytest.mark.usefixtures("templates")]

SCRIPTS = REPOSITORY / "scripts"
SMOKE, MORNING, EVENING, LAB = (str(SCRIPTS / f"{name}.mclu") for name in ("smoke", "morning", "evening", "lab"))


@pytest.mark.parametrize("script", [SMOKE, MORNING, EVENING, LAB])
def test_each_example_is_valid_and_executable(lab: RealLab, script: str) -> None:
    assert mclu(lab, "--check", script, "a").status == 0
    # The file is executable.
    assert lab.run("test", "-x", script).returncode == 0


def test_smoke_boots_reboots_and_destroys_a_guest(lab: RealLab) -> None:
    completed = lab.run("env", SMOKE)
    lines = ["running", "console: smoke login:", "reboot requested", "console: smoke login:", "destroyed"]
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.splitlines() == [f"ham0:smoke {words}" for words in lines]
    assert states(lab, "ham0") == {}
    assert lab.run("ls", "/var/log/libvirt/qemu", node="ham0").stdout.split() == ["smoke.log"]


def test_smoke_fails_with_its_line_when_the_node_dies(lab: RealLab) -> None:
    lab.power(on=["ham0", "ham1"])
    with background(lab, SMOKE) as smoke:
        assert smoke.stdout
        assert smoke.stdout.readline() == "ham0:smoke running\n"
        lab.off("ham0")
        out, err = smoke.communicate(timeout=30)
    assert (smoke.returncode, out) == (1, "")
    assert re.fullmatch(rf"mclu: {re.escape(SMOKE)}:6: (ham0: .*|no such guest )'?smoke.*\n", err)


def test_morning_starts_and_evening_stops_nodes_and_guests(lab: RealLab) -> None:
    for name in ("web", "db"):
        virsh(lab, "ham0", "define", describe_guest(lab, "ham0", name, memory_mib=32))
    virsh(lab, "ham0", "start", "db")
    result = mclu(lab, MORNING, "web", "db")
    assert result.status == 0
    assert {"ham0:web started", "ham0:web running", "ham0:db running"} <= set(result.lines)
    assert is_on(lab, "ham0", "ham1", "ham2", "ham3")
    # A second run changes nothing.
    result = mclu(lab, MORNING, "web", "db")
    assert (result.status, result.lines.count("ham0:web running")) == (0, 1)
    # These guests have no system that would shut down.
    for name in ("web", "db"):
        virsh(lab, "ham0", "destroy", name)
    result = mclu(lab, EVENING)
    assert (result.status, sorted(result.lines)) == (0, [f"ham{i} off" for i in range(4)])
    assert not any(is_on(lab, f"ham{i}") for i in range(4))
    assert mclu(lab, EVENING).status == 0


def test_evening_leaves_a_node_on_while_its_guest_does_not_shut_down(lab: RealLab, tmp_path: Path) -> None:
    run_guest(lab, "ham0", "web")
    script = tmp_path / "evening.mclu"
    script.write_text(Path(EVENING).read_text().replace("3m", "1s"))
    result = mclu(lab, str(script))
    assert result.status == 1
    assert "ham0: web is still running after 1 s" in result.err
    assert f"{script}:6: ham0: cannot switch off: guest web is running; shut it down or destroy it first" in result.err


def test_lab_example_boots_three_guests(lab: RealLab) -> None:
    result = mclu(lab, LAB, "try")
    assert (result.status, result.err) == (0, "")
    assert sorted(states(lab, "ham0")) == ["try-db", "try-mail", "try-web"]
    assert [line.split()[0] for line in result.lines[-3:]] == ["ham0:try-db", "ham0:try-mail", "ham0:try-web"]
