"""What takes its time on a node goes on whatever becomes of the connection to libvirt meanwhile."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.support.cli import logins, mclu, started
from tests.lab.support.guests import BUILD, WAIT, make_ready, open_gate, sh, states, template, wait_for_gate
from tests.lab.support.lab import RealLab
from tests.shell.terminal import CTRL_D, ENTER, Terminal

RESTART = "read -r pid </run/libvirtd.pid; kill $pid; tail --pid=$pid -f /dev/null; libvirtd --daemon"


@pytest.fixture
def lab(lab4: RealLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealLab:
    """ham0 and ham1 are on and empty; the build of `slow` waits at a gate."""
    directory = tmp_path / "templates"
    directory.mkdir()
    template(directory, "slow", build=f"{WAIT}\n{BUILD}")
    monkeypatch.setenv("MCLU_PATH", str(directory))
    make_ready(lab4)
    return lab4


def restart_libvirtd(lab: RealLab) -> None:
    sh(lab, "ham0", RESTART)
    lab.wait("on", "ham0")


def test_the_shell_whose_connection_it_uses_is_left(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    shell = shells()
    shell.expect_toolbar("2 on  2 off")
    with started(lab, "boot", "slow", "ham0:web") as boot:
        wait_for_gate(lab, "ham0")
        shell.type(CTRL_D)
        assert shell.status() == 0
        open_gate(lab, "ham0")
        out, err = boot.communicate(timeout=60)
        assert (out, err) == ("ham0:web running\n", ""), err
    assert states(lab, "ham0") == {"web": "running"}


def test_libvirtd_is_started_anew_under_a_one_shot(lab: RealLab) -> None:
    with started(lab, "boot", "slow", "ham0:web") as boot:
        wait_for_gate(lab, "ham0")
        restart_libvirtd(lab)
        open_gate(lab, "ham0")
        out, err = boot.communicate(timeout=60)
        assert (out, err) == ("ham0:web running\n", ""), err


def test_libvirtd_is_started_anew_under_a_shell(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    shell = shells()
    shell.expect_toolbar("2 on  2 off")
    before = logins(lab, "ham0")
    shell.type("boot slow ham0:web" + ENTER)
    wait_for_gate(lab, "ham0")
    restart_libvirtd(lab)
    assert mclu(lab, "status", "ham0").lines[0] == "ham0 on"
    open_gate(lab, "ham0")
    shell.expect(r"^ham0:web running\nmclu>\Z", seconds=60)
    # The connection to sshd was never in question.
    assert logins(lab, "ham0") <= before + 1
