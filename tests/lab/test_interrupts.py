"""Ctrl-C and signals during a command: it ends at once with the right exit status and leaves nothing."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.support.cli import background, is_on, mclu, runtime_directories, sockets, wait_until
from tests.lab.support.lab import RealLab

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])


@pytest.fixture(autouse=True)
def _faults(lab: RealLab, ssh_files: Path) -> Iterator[None]:
    """Freeze libvirtd on ham1, and configure a wrong MAC address for ham3, so that it cannot be woken."""
    lab.freeze("ham1", libvirtd=True)
    config = lab.path / "mclu.conf"
    config.write_text(re.sub("(ham3 mac=).*", r"\g<1>52:54:00:ff:ff:ff", config.read_text()))
    assert runtime_directories(lab) == []
    yield
    lab.thaw("ham1", libvirtd=True)


# Commands that wait for a node.
WAITING = {
    "a query": ("status", "ham1"),
    "waiting for a node": ("on", "ham3", "--wait"),
    "a line": ("-c", "on ham3 --wait; off ham0"),
}


def _wait_for_start(lab: RealLab, kind: str) -> None:
    # A query creates the socket for libvirt; waking a node needs none.
    wait_until(lambda: sockets(lab) if kind == "a query" else runtime_directories(lab))


@pytest.mark.parametrize("kind", WAITING)
def test_ctrl_c_ends_a_waiting_command_at_once(lab: RealLab, kind: str) -> None:
    with background(lab, *WAITING[kind]) as command:
        _wait_for_start(lab, kind)
        if kind != "a query":
            assert command.stdout is not None
            assert command.stdout.readline().startswith("Waking up ")
        os.killpg(command.pid, signal.SIGINT)
        # The query itself would take four seconds, and waking five minutes.
        out, err = command.communicate(timeout=3)
    assert (command.returncode, out, err) == (130, "", "")
    assert runtime_directories(lab) == []
    assert is_on(lab, "ham0")


def test_repeated_ctrl_c_leaves_nothing_behind(lab: RealLab) -> None:
    with background(lab, "status", "ham1") as command:
        wait_until(lambda: sockets(lab))
        while command.poll() is None:
            os.killpg(command.pid, signal.SIGINT)
            time.sleep(0.001)
        out, err = command.communicate(timeout=3)
    assert (command.returncode, out, err) == (130, "", "")
    assert runtime_directories(lab) == []


@pytest.mark.parametrize(("name", "status"), [("TERM", 143), ("HUP", 129), ("INT", 130)])
def test_a_signal_to_mclu_alone_ends_it_with_its_exit_status(lab: RealLab, name: str, status: int) -> None:
    # A shell runs mclu, because the process that enters the lab would end its command with itself.
    script = "trap : INT; env --default-signal mclu status ham1 & echo $!; wait $!; echo $?"
    with background(lab, "sh", "-c", script, program=None) as command:
        assert command.stdout is not None
        pid = command.stdout.readline().strip()
        wait_until(lambda: sockets(lab))
        assert lab.run("kill", f"-{name}", pid).returncode == 0
        out, err = command.communicate(timeout=3)
    assert (out, err) == (f"{status}\n", "")
    assert runtime_directories(lab) == []


def test_a_killed_mclu_does_not_affect_the_next_one(lab: RealLab) -> None:
    with background(lab, "status", "ham1") as command:
        wait_until(lambda: sockets(lab))
        os.killpg(command.pid, signal.SIGKILL)
        command.wait(timeout=10)
    assert mclu(lab, "status", "ham0").lines[0] == "ham0 on"
    # Only a later mclu can remove the directory of a killed one.
    assert lab.run("sh", "-c", f"rm -r {lab.path}/run/mclu-*").returncode == 0


def test_ctrl_c_ends_ssh_to_a_jump_host(lab: RealLab, ssh_files: Path) -> None:
    (ssh_files / "config").write_text("Host ham1\n  ProxyJump ham0\n")
    with background(lab, "status", "ham1") as command:
        wait_until(lambda: sockets(lab))
        assert lab.run("pgrep", "-f", "ssh .* -W").returncode == 0
        os.killpg(command.pid, signal.SIGINT)
        assert command.wait(timeout=3) == 130
    wait_until(lambda: lab.run("pgrep", "-f", "ssh .* -W").returncode == 1)
