"""One shell that stays open through a series of faults, over each kind of SSH connection."""

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.support.cli import CUT_CONNECTIONS, mclu, run_guest, wait_until
from tests.lab.support.guests import sh
from tests.lab.support.lab import RealLab
from tests.shell.terminal import CTRL_D, Terminal

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])

# The interval between polls, the timeout of a request, and an attempt to reconnect.
NOTICED_S = 30.0
# In the brackets, so that pgrep does not find itself.
SSH = "[s]sh -M"


@pytest.fixture(params=["paramiko", "openssh"])
def via(lab: RealLab, ssh_files: Path, request: pytest.FixtureRequest) -> str:
    """The kind of connection, in mclu.conf."""
    value: str = request.param
    lab.set_global(f"via={value}")
    return value


@pytest.fixture
def shell(lab: RealLab, via: str, shells: Callable[[], Terminal]) -> Terminal:
    """A shell that is connected to two nodes."""
    shell = shells()
    shell.expect_toolbar("2 on  2 off  0 guests running")
    return shell


def _ssh_processes(lab: RealLab) -> int:
    return len(lab.run("pgrep", "-f", SSH).stdout.split())


def _is_back(shell: Terminal) -> None:
    shell.expect(r"^ham1: is back(.|\n)*mclu>", NOTICED_S)
    assert shell.answer("status ham1").startswith("ham1 on\n")
    shell.expect_toolbar("2 on  2 off")


def test_a_shell_stays_open_through_a_series_of_faults(lab: RealLab, shell: Terminal, via: str) -> None:
    assert (_ssh_processes(lab) > 0) == (via == "openssh")
    sh(lab, "ham1", "pkill -x libvirtd; while pgrep -x libvirtd >/dev/null; do :; done")
    shell.expect(r"^ham1: libvirtd not running$", NOTICED_S)
    sh(lab, "ham1", "libvirtd --daemon")
    _is_back(shell)

    lab.freeze("ham1", libvirtd=True)
    assert "ham1 on, libvirtd not answering\n" in shell.answer("status")
    lab.thaw("ham1", libvirtd=True)
    _is_back(shell)

    lab.freeze("ham1")
    shell.expect_toolbar("ham1: ssh: not answering", NOTICED_S)
    assert shell.answer("status ham0").startswith("ham0 on\n")
    lab.thaw("ham1")
    _is_back(shell)

    sh(lab, "ham1", CUT_CONNECTIONS)
    wait_until(lambda: shell.answer("status ham1").startswith("ham1 on\n"))

    lab.off("ham1")
    shell.expect(r"^ham1: is off$", NOTICED_S)
    lab.on("ham1")
    _is_back(shell)

    lab.rekey("ham1")
    shell.expect(r"^ham1: ssh: ", NOTICED_S)
    lab.remember("ham1")
    wait_until(lambda: shell.answer("status ham1").startswith("ham1 on\n"))

    run_guest(lab, "ham1", "web")
    shell.expect_toolbar("2 on  2 off  1 guest running")
    # A one-shot shares the shell's connections.
    assert re.match(r"ham1:web +running", mclu(lab, "list", "--active").out)
    assert shell.answer("destroy --yes web").strip() == "ham1:web destroyed"
    shell.type(CTRL_D)
    shell.status()
    wait_until(lambda: _ssh_processes(lab) == 0)


@pytest.mark.parametrize("via", ["openssh"], indirect=True)
def test_no_ssh_process_outlives_a_killed_shell(lab: RealLab, shell: Terminal) -> None:
    assert _ssh_processes(lab) == 2
    pid = lab.run("pgrep", "-f", "bin/mclu$").stdout.split()[0]
    lab.run("kill", f"-{signal.SIGKILL:d}", pid)
    wait_until(lambda: _ssh_processes(lab) == 0)
