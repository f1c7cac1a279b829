"""Ctrl-C and signals while a command is under way: it ends at once, with the right status, and leaves nothing."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.support.cli import is_on, left_behind, mclu, sockets, started, until
from tests.lab.support.lab import RealLab


@pytest.fixture
def lab(lab4: RealLab, ssh_files: Path) -> Iterator[RealLab]:
    """ham0 is on; ham1 is on and its libvirtd frozen; ham3 cannot be woken, because its mac= is another's."""
    lab4.power(on=["ham0", "ham1"])
    lab4.freeze("ham1", libvirtd=True)
    config = lab4.path / "mclu.conf"
    config.write_text(re.sub("(ham3 mac=).*", r"\g<1>52:54:00:ff:ff:ff", config.read_text()))
    assert left_behind(lab4) == []
    yield lab4
    lab4.thaw("ham1", libvirtd=True)


# What runs, and a sign that it has begun: it is then in the middle of waiting for a node.
UNDER_WAY = {
    "a question": ("status", "ham0", "ham1"),
    "waiting for a node": ("on", "ham3", "--wait"),
    "a line": ("-c", "on ham3 --wait; off ham0"),
}


def _has_begun(lab: RealLab, what: str) -> None:
    # The question has been asked when libvirt's socket is there; the waking waits without one.
    until(lambda: sockets(lab) if what == "a question" else left_behind(lab))


@pytest.mark.parametrize("what", UNDER_WAY)
def test_ctrl_c(lab: RealLab, what: str) -> None:
    with started(lab, *UNDER_WAY[what]) as command:
        _has_begun(lab, what)
        if what != "a question":
            assert command.stdout is not None
            assert command.stdout.readline().startswith("Waking up ")
        os.killpg(command.pid, signal.SIGINT)
        # The question itself would take four seconds, and the waiting five minutes.
        out, err = command.communicate(timeout=3)
    assert (command.returncode, out, err) == (130, "", "")
    assert left_behind(lab) == []
    assert is_on(lab, "ham0")


def test_ctrl_c_again_and_again_leaves_nothing_behind(lab: RealLab) -> None:
    with started(lab, "status", "ham0", "ham1") as command:
        until(lambda: sockets(lab))
        while command.poll() is None:
            os.killpg(command.pid, signal.SIGINT)
            time.sleep(0.001)
        out, err = command.communicate(timeout=3)
    assert (command.returncode, out, err) == (130, "", "")
    assert left_behind(lab) == []


@pytest.mark.parametrize(("name", "status"), [("TERM", 143), ("HUP", 129), ("INT", 130)])
def test_signal_to_mclu_alone(lab: RealLab, name: str, status: int) -> None:
    # The shell is between, because what enters the lab for the command would end it with itself.
    script = "trap : INT; env --default-signal mclu status ham1 & echo $!; wait $!; echo $?"
    with started(lab, "sh", "-c", script, program=None) as command:
        assert command.stdout is not None
        pid = command.stdout.readline().strip()
        until(lambda: sockets(lab))
        assert lab.run("kill", f"-{name}", pid).returncode == 0
        out, err = command.communicate(timeout=3)
    assert (out, err) == (f"{status}\n", "")
    assert left_behind(lab) == []


def test_killed_mclu_does_not_hinder_the_next(lab: RealLab) -> None:
    with started(lab, "status", "ham1") as command:
        until(lambda: sockets(lab))
        os.killpg(command.pid, signal.SIGKILL)
        command.wait(timeout=10)
    assert mclu(lab, "status", "ham0").lines[0] == "ham0 on"
    # Nobody can tidy up after a SIGKILL but the one who comes next.
    assert lab.run("sh", "-c", f"rm -r {lab.path}/run/mclu-*").returncode == 0


def test_ctrl_c_ends_the_ssh_to_a_jump_host(lab: RealLab, ssh_files: Path) -> None:
    (ssh_files / "config").write_text("Host ham1\n  ProxyJump ham0\n")
    with started(lab, "status", "ham1") as command:
        until(lambda: sockets(lab))
        assert lab.run("pgrep", "-f", "ssh .* -W").returncode == 0
        os.killpg(command.pid, signal.SIGINT)
        assert command.wait(timeout=3) == 130
    until(lambda: lab.run("pgrep", "-f", "ssh .* -W").returncode == 1)
