"""The interactive shell in a real pseudo-terminal, while real nodes come and go."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MCLU
from tests.lab.support.cli import end_guests, is_on, left_behind, logins, run_guest
from tests.lab.support.lab import RealLab
from tests.shell.terminal import CTRL_C, CTRL_D, ENTER, Terminal

ON = r" on\n  total: \d+pcpus \S+\n  free: \S+\n"


@pytest.fixture
def lab(lab4: RealLab) -> RealLab:
    """ham0 and ham1 are on and run nothing."""
    lab4.power(on=["ham0", "ham1"])
    end_guests(lab4, "ham0", "ham1")
    return lab4


def test_an_evening_at_the_prompt(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    before = {node: logins(lab, node) for node in ("ham0", "ham1")}
    shell = shells()
    shell.answer("set alerts off")
    assert re.fullmatch(f"ham0{ON}ham1{ON}ham2 off\nham3 off\n", shell.answer("status"))
    # Somebody starts a guest, and ends it.
    run_guest(lab, "ham0", "web")
    assert shell.answer("list --active").split()[:2] == ["ham0:web", "running"]
    assert "not switched off: guest running: web" in shell.answer("off ham0 ham1")
    end_guests(lab, "ham0")
    assert shell.answer("list --active") == ""
    # A plug is pulled, and the node comes back.
    lab.off("ham1")
    assert shell.answer("status ham1") == "ham1 off\n"
    assert re.fullmatch(r"Waking up \S+\nham1 on\n", shell.answer("on ham1 --wait"))
    assert re.fullmatch(f"ham1{ON}", shell.answer("status ham1"))
    # A fault comes and goes.
    lab.freeze("ham1", libvirtd=True)
    assert "ham1: libvirtd not answering; on the node: systemctl restart libvirtd" in shell.answer("status ham1")
    lab.thaw("ham1", libvirtd=True)
    assert re.fullmatch(f"ham1{ON}", shell.answer("status ham1"))
    # All of this was one login on the node that was always there.
    assert logins(lab, "ham0") - before["ham0"] == 1
    assert shell.answer("off ham1") == "ham1 off\n"
    assert not is_on(lab, "ham1")
    shell.type(CTRL_D)
    assert shell.status() == 0
    assert left_behind(lab) == []


def test_a_node_that_was_rebooted_meanwhile(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    """The shell's connection is dead without having been told so: the next question finds that out by itself."""
    shell = shells()
    assert re.match(f"ham0{ON}", shell.answer("status ham0"))
    lab.off("ham0")
    lab.on("ham0")
    assert re.match(f"ham0{ON}", shell.answer("status ham0"))


def test_a_libvirtd_that_was_restarted_meanwhile(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    shell = shells()
    assert re.match(f"ham0{ON}", shell.answer("status ham0"))
    restart = "read -r pid </run/libvirtd.pid; kill $pid; tail --pid=$pid -f /dev/null; libvirtd --daemon"
    assert lab.run("sh", "-c", restart, node="ham0").returncode == 0
    lab.wait("on", "ham0")
    assert re.match(f"ham0{ON}", shell.answer("status ham0"))


def test_ctrl_c_ends_what_runs_and_keeps_the_shell(
    lab: RealLab, shells: Callable[[], Terminal], ssh_files: Path
) -> None:
    config = lab.path / "mclu.conf"
    config.write_text(re.sub("(ham3 mac=).*", r"\g<1>52:54:00:ff:ff:ff", config.read_text()))
    lab.freeze("ham1", libvirtd=True)
    shell = shells()
    assert re.match(f"ham0{ON}", shell.answer("status ham0"))
    before = logins(lab, "ham0")
    for line, sign in (("on ham3 --wait", "waiting for ham3 to come up"), ("status ham1", r"^mclu> status ham1\Z")):
        shell.type(line + ENTER)
        shell.expect(sign)
        shell.type(CTRL_C)
        shell.expect_prompt()
    lab.thaw("ham1", libvirtd=True)
    assert re.match(f"ham0{ON}", shell.answer("status ham0"))
    assert re.match(f"ham1{ON}", shell.answer("status ham1"))
    assert logins(lab, "ham0") == before
    # At an empty prompt it ends nothing either.
    shell.type(CTRL_C)
    assert shell.answer("status ham3") == "ham3 off\n"
    shell.type(CTRL_D)
    assert shell.status() == 0


def test_two_shells_tell_the_same(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    one, other = shells(), shells()
    assert one.answer("status ham2") == other.answer("status ham2") == "ham2 off\n"
    assert one.answer("on ham2 --wait").endswith("ham2 on\n")
    assert re.fullmatch(f"ham2{ON}", other.answer("status ham2"))
    assert other.answer("off ham2") == "ham2 off\n"
    assert one.answer("status ham2") == "ham2 off\n"


def test_the_terminal_is_closed(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    """As its emulator tells it; what the shell had made for its connections goes with it."""
    shell = shells()
    assert "ham0 on" in shell.answer("status")
    pid = lab.run("pgrep", "-f", f"{MCLU}$").stdout.split()[-1]
    assert lab.run("kill", "-HUP", pid).returncode == 0
    assert shell.status() == 129
    assert left_behind(lab) == []
