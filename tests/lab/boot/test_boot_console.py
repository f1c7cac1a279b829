"""boot with --console and --viewer, in a real terminal on real nodes: what is opened, and the way back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MCLU
from tests.lab.support.cli import left_behind
from tests.lab.support.guests import SHIPPED, make_ready, states, traces
from tests.lab.support.lab import RealLab
from tests.lab.support.terminal import typed
from tests.lab.test_console import LEAVE
from tests.lab.test_viewer import install, mclu, programs, viewed
from tests.shell.terminal import CTRL_D, ENTER, Terminal

__all__ = ["programs"]
TINY = f"MCLU_PATH={SHIPPED}"


@pytest.fixture
def lab(lab4: RealLab) -> Iterator[RealLab]:
    """ham0 and ham1 are on and empty; ham2 and ham3 are off."""
    make_ready(lab4)
    (lab4.path / "home/viewed").unlink(missing_ok=True)
    yield lab4
    make_ready(lab4)


def test_the_console_of_a_new_guest_shows_it_starting_and_is_left(lab: RealLab) -> None:
    with typed(lab, "env", TINY, "mclu", "boot", "tiny", "ham0:web", "--console") as command:
        command.expect("ham0:web running\r\n")
        command.expect("Connected to ham0:web; ^] leaves.")
        command.program.expect_exact("web login: ", timeout=60)
        command.type("root" + ENTER)
        command.expect("~ # ")
        command.type(LEAVE)
        assert command.end() == 0
    assert states(lab, "ham0") == {"web": "running"}
    assert left_behind(lab) == []


def test_the_prompt_comes_back_from_the_console(lab: RealLab) -> None:
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


def test_the_viewer_of_a_new_guest_is_waited_for_and_then_its_console_opens(lab: RealLab, programs: Path) -> None:
    install(programs)
    # With it a template is asked what it is.
    (programs / "timeout").symlink_to(str(shutil.which("timeout")))
    words = mclu(programs, "boot", "tiny", "ham0:web", "--viewer", "--console")
    with typed(lab, "env", TINY, "HASTY=1", *words) as command:
        command.expect("ham0:web running\r\n")
        command.program.expect_exact("web login: ", timeout=60)
        (line,) = viewed(lab)
        assert "QEMU (web) --title ham0:web --" in line
        command.type(LEAVE)
        assert command.end() == 0
    assert left_behind(lab) == []


def test_without_a_viewer_that_is_said_at_once(lab: RealLab, programs: Path) -> None:
    before = traces(lab, "ham0")
    with typed(lab, "env", TINY, *mclu(programs, "boot", "tiny", "ham0:web", "--viewer")) as command:
        command.expect(
            "mclu: remote-viewer is not installed; install the package virt-viewer, or boot without --viewer"
        )
        assert command.end() == 1
    assert traces(lab, "ham0") == before
