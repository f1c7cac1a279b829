"""Builds continue on their node when the connection to libvirt is lost."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.support.cli import background, count_logins, mclu
from tests.lab.support.guests import BUILD, WAIT, open_gate, sh, states, template, wait_for_gate
from tests.lab.support.lab import RealLab
from tests.shell.terminal import CTRL_D, ENTER, Terminal

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])

RESTART = "read -r pid </run/libvirtd.pid; kill $pid; tail --pid=$pid -f /dev/null; libvirtd --daemon"


@pytest.fixture(autouse=True)
def _slow(templates: Path) -> None:
    """Write the template `slow`, whose build waits at a gate."""
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")


def restart_libvirtd(lab: RealLab) -> None:
    sh(lab, "ham0", RESTART)
    lab.wait("on", "ham0")


def test_a_boot_survives_the_end_of_the_shell_whose_connection_it_uses(
    lab: RealLab, shells: Callable[[], Terminal]
) -> None:
    shell = shells()
    shell.expect_toolbar("2 on  2 off")
    with background(lab, "boot", "slow", "ham0:web") as boot:
        wait_for_gate(lab, "ham0")
        shell.type(CTRL_D)
        assert shell.status() == 0
        open_gate(lab, "ham0")
        out, err = boot.communicate(timeout=60)
        assert (out, err) == ("ham0:web running\n", ""), err
    assert states(lab, "ham0") == {"web": "running"}


def test_a_one_shot_boot_survives_a_restart_of_libvirtd(lab: RealLab) -> None:
    with background(lab, "boot", "slow", "ham0:web") as boot:
        wait_for_gate(lab, "ham0")
        restart_libvirtd(lab)
        open_gate(lab, "ham0")
        out, err = boot.communicate(timeout=60)
        assert (out, err) == ("ham0:web running\n", ""), err


def test_a_boot_at_the_prompt_survives_a_restart_of_libvirtd(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    shell = shells()
    shell.expect_toolbar("2 on  2 off")
    before = count_logins(lab, "ham0")
    shell.type("boot slow ham0:web" + ENTER)
    wait_for_gate(lab, "ham0")
    restart_libvirtd(lab)
    assert mclu(lab, "status", "ham0").lines[0] == "ham0 on"
    open_gate(lab, "ham0")
    shell.expect(r"^ham0:web running\nmclu>\Z", seconds=60)
    # The SSH connection was not affected.
    assert count_logins(lab, "ham0") <= before + 1
