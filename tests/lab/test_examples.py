"""The example scripts, on real nodes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.support.cli import describe_guest, is_on, mclu, run_guest, started, virsh
from tests.lab.support.guests import SHIPPED, clean, states
from tests.lab.support.lab import REPOSITORY, RealLab

SCRIPTS = REPOSITORY / "scripts"
SMOKE, MORNING, EVENING, LAB = (str(SCRIPTS / f"{name}.mclu") for name in ("smoke", "morning", "evening", "lab"))


@pytest.fixture
def lab(cloud: RealLab, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealLab]:
    """ham0 is on and empty, the others are off; the templates are those that come with mclu."""
    monkeypatch.setenv("MCLU_PATH", str(SHIPPED))
    clean(cloud, "ham0")
    yield cloud
    if is_on(cloud, "ham0"):
        clean(cloud, "ham0")


@pytest.mark.parametrize("script", [SMOKE, MORNING, EVENING, LAB])
def test_each_can_be_run(lab: RealLab, script: str) -> None:
    assert mclu(lab, "--check", script, "a").status == 0
    # It is found by its name, too: as a program.
    assert lab.run("test", "-x", script).returncode == 0


def test_smoke(lab: RealLab) -> None:
    done = lab.run("env", SMOKE)
    told = ["running", "console: smoke login:", "reboot requested", "console: smoke login:", "destroyed"]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"ham0:smoke {words}" for words in told]
    assert states(lab, "ham0") == {}
    assert lab.run("ls", "/var/log/libvirt/qemu", node="ham0").stdout.split() == ["smoke.log"]


def test_smoke_when_its_node_dies(lab: RealLab) -> None:
    lab.power(on=["ham0", "ham1"])
    with started(lab, SMOKE) as smoke:
        assert smoke.stdout
        assert smoke.stdout.readline() == "ham0:smoke running\n"
        lab.off("ham0")
        out, err = smoke.communicate(timeout=30)
    assert (smoke.returncode, out) == (1, "")
    assert re.fullmatch(rf"mclu: {re.escape(SMOKE)}:6: (ham0: .*|no such guest )'?smoke.*\n", err)


def test_morning_and_evening(lab: RealLab) -> None:
    for name in ("web", "db"):
        virsh(lab, "ham0", "define", describe_guest(lab, "ham0", name, memory_mib=32))
    virsh(lab, "ham0", "start", "db")
    told = mclu(lab, MORNING, "web", "db")
    assert told.status == 0
    assert {"ham0:web started", "ham0:web running", "ham0:db running"} <= set(told.lines)
    assert is_on(lab, "ham0", "ham1", "ham2", "ham3")
    # What is as it should be stays so.
    told = mclu(lab, MORNING, "web", "db")
    assert (told.status, told.lines.count("ham0:web running")) == (0, 1)
    # These have no system that would shut down.
    for name in ("web", "db"):
        virsh(lab, "ham0", "destroy", name)
    told = mclu(lab, EVENING)
    assert (told.status, sorted(told.lines)) == (0, [f"ham{i} off" for i in range(4)])
    assert not any(is_on(lab, f"ham{i}") for i in range(4))
    assert mclu(lab, EVENING).status == 0


def test_evening_leaves_a_node_on_whose_guest_does_not_shut_down(lab: RealLab, tmp_path: Path) -> None:
    run_guest(lab, "ham0", "web")
    script = tmp_path / "evening.mclu"
    script.write_text(Path(EVENING).read_text().replace("3m", "1s"))
    told = mclu(lab, str(script))
    assert told.status == 1
    assert "ham0: web is still running after 1 s" in told.err
    assert f"{script}:6: ham0: not switched off: guest running: web" in told.err


def test_lab(lab: RealLab) -> None:
    told = mclu(lab, LAB, "try")
    assert (told.status, told.err) == (0, "")
    assert sorted(states(lab, "ham0")) == ["try-db", "try-mail", "try-web"]
    assert [line.split()[0] for line in told.lines[-3:]] == ["ham0:try-db", "ham0:try-mail", "ham0:try-web"]
