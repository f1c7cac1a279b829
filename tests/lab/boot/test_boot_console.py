"""boot with --console and --viewer in a real terminal, on real nodes."""

import shutil
from pathlib import Path

import pytest

from tests.lab.support.cli import runtime_directories
from tests.lab.support.guests import SHIPPED, states, traces
from tests.lab.support.lab import RealLab
from tests.lab.support.terminal import LEAVE, terminal_command
from tests.lab.support.viewer import install_viewer, mclu_with, viewed
from tests.shell.terminal import CTRL_D, ENTER, Terminal
from tests.support.mclu import MCLU

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])

TINY = f"MCLU_PATH={SHIPPED}"


def test_boot_with_console_shows_the_guest_starting_until_the_user_leaves(lab: RealLab) -> None:
    with terminal_command(lab, "env", TINY, "mclu", "boot", "tiny", "ham0:web", "--console") as command:
        command.expect("ham0:web running\r\n")
        command.expect("Connected to ham0:web; ^] leaves.")
        command.expect("web login: ", timeout=60)
        command.type("root" + ENTER)
        command.expect("~ # ")
        command.type(LEAVE)
        assert command.end() == 0
    assert states(lab, "ham0") == {"web": "running"}
    assert runtime_directories(lab) == []


def test_the_prompt_returns_after_boot_with_console(lab: RealLab) -> None:
    program, *words = lab.command("env", TINY, str(MCLU))
    shell = Terminal(*words, program=program)
    try:
        shell.expect_prompt()
        shell.type("boot tiny ham0:web --console" + ENTER)
        shell.expect("web login:", 60)
        shell.type(LEAVE)
        shell.expect_prompt()
        shell.run("list --active")
        assert "ham0:web  running" in shell.screen
        shell.type(CTRL_D)
        assert shell.status() == 0
    finally:
        shell.close()


def test_boot_with_viewer_and_console_opens_one_after_the_other(lab: RealLab, programs: Path) -> None:
    install_viewer(programs)
    # mclu runs a template with `timeout`.
    (programs / "timeout").symlink_to(str(shutil.which("timeout")))
    words = mclu_with(programs, "boot", "tiny", "ham0:web", "--viewer", "--console")
    with terminal_command(lab, "env", TINY, "HASTY=1", *words) as command:
        command.expect("ham0:web running\r\n")
        command.expect("web login: ", timeout=60)
        (line,) = viewed(lab)
        assert "QEMU (web) --title ham0:web --" in line
        command.type(LEAVE)
        assert command.end() == 0
    assert runtime_directories(lab) == []


def test_boot_with_viewer_fails_before_building_if_no_viewer_is_installed(lab: RealLab, programs: Path) -> None:
    before = traces(lab, "ham0")
    with terminal_command(lab, "env", TINY, *mclu_with(programs, "boot", "tiny", "ham0:web", "--viewer")) as command:
        command.expect(
            "mclu: remote-viewer is not installed; install the package virt-viewer, or boot without --viewer"
        )
        assert command.end() == 1
    assert traces(lab, "ham0") == before
