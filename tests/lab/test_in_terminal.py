"""The interactive shell in a real pseudo-terminal, while real nodes come and go."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.support.cli import count_logins, end_guests, is_on, run_guest, runtime_directories
from tests.lab.support.lab import RealLab
from tests.shell.terminal import CTRL_C, CTRL_D, ENTER, Terminal
from tests.support.mclu import MCLU

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])

ON = r" on\n  total: \d+pcpus \S+\n  free: \S+\n"


def test_a_shell_follows_guests_nodes_and_faults_with_one_login(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    before = {node: count_logins(lab, node) for node in ("ham0", "ham1")}
    shell = shells()
    shell.answer("set alerts off")
    assert re.fullmatch(f"ham0{ON}ham1{ON}ham2 off\nham3 off\n", shell.answer("status"))
    # A guest is started and destroyed by others.
    run_guest(lab, "ham0", "web")
    assert shell.answer("list --active").splitlines()[1].split()[:2] == ["ham0:web", "running"]
    assert "cannot switch off: guest web is running;" in shell.answer("off ham0 ham1")
    end_guests(lab, "ham0")
    assert shell.answer("list --active") == ""
    # A node loses power and is woken.
    lab.off("ham1")
    assert shell.answer("status ham1") == "ham1 off\n"
    assert re.fullmatch(r"Waking up \S+\nham1 on\n", shell.answer("on ham1 --wait"))
    assert re.fullmatch(f"ham1{ON}", shell.answer("status ham1"))
    # libvirtd freezes and continues.
    lab.freeze("ham1", libvirtd=True)
    assert "ham1: libvirtd not answering; on the node: systemctl restart libvirtd" in shell.answer("status ham1")
    lab.thaw("ham1", libvirtd=True)
    assert re.fullmatch(f"ham1{ON}", shell.answer("status ham1"))
    # The node that was on throughout had one login.
    assert count_logins(lab, "ham0") - before["ham0"] == 1
    assert shell.answer("off ham1") == "ham1 off\n"
    assert not is_on(lab, "ham1")
    shell.type(CTRL_D)
    assert shell.status() == 0
    assert runtime_directories(lab) == []


def test_a_shell_reconnects_to_a_node_that_was_rebooted(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    """No packet tells the shell that its connection is dead; the next request detects it."""
    shell = shells()
    assert re.match(f"ham0{ON}", shell.answer("status ham0"))
    lab.off("ham0")
    lab.on("ham0")
    assert re.match(f"ham0{ON}", shell.answer("status ham0"))


def test_a_shell_reconnects_to_a_libvirtd_that_was_restarted(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    shell = shells()
    assert re.match(f"ham0{ON}", shell.answer("status ham0"))
    restart = "read -r pid </run/libvirtd.pid; kill $pid; tail --pid=$pid -f /dev/null; libvirtd --daemon"
    assert lab.run("sh", "-c", restart, node="ham0").returncode == 0
    lab.wait("on", "ham0")
    assert re.match(f"ham0{ON}", shell.answer("status ham0"))


def test_ctrl_c_ends_the_command_and_keeps_the_shell(
    lab: RealLab, shells: Callable[[], Terminal], ssh_files: Path
) -> None:
    config = lab.path / "mclu.conf"
    config.write_text(re.sub("(ham3 mac=).*", r"\g<1>52:54:00:ff:ff:ff", config.read_text()))
    lab.freeze("ham1", libvirtd=True)
    shell = shells()
    assert re.match(f"ham0{ON}", shell.answer("status ham0"))
    before = count_logins(lab, "ham0")
    for line, sign in (("on ham3 --wait", "waiting for ham3 to come up"), ("status ham1", r"^mclu> status ham1\Z")):
        shell.type(line + ENTER)
        shell.expect(sign)
        shell.type(CTRL_C)
        shell.expect_prompt()
    lab.thaw("ham1", libvirtd=True)
    assert re.match(f"ham0{ON}", shell.answer("status ham0"))
    assert re.match(f"ham1{ON}", shell.answer("status ham1"))
    assert count_logins(lab, "ham0") == before
    # Ctrl-C at an empty prompt keeps the shell, too.
    shell.type(CTRL_C)
    assert shell.answer("status ham3") == "ham3 off\n"
    shell.type(CTRL_D)
    assert shell.status() == 0


def test_two_shells_show_the_same_state(lab: RealLab, shells: Callable[[], Terminal]) -> None:
    one, other = shells(), shells()
    for shell in (one, other):
        # A node that the other shell switches off is an alert, at any time.
        shell.answer("set alerts off")
    assert one.answer("status ham2") == other.answer("status ham2") == "ham2 off\n"
    assert one.answer("on ham2 --wait").endswith("ham2 on\n")
    assert re.fullmatch(f"ham2{ON}", other.answer("status ham2"))
    assert other.answer("off ham2") == "ham2 off\n"
    assert one.answer("status ham2") == "ham2 off\n"


def test_a_shell_whose_terminal_is_closed_removes_its_runtime_directory(
    lab: RealLab, shells: Callable[[], Terminal]
) -> None:
    """A terminal emulator sends SIGHUP; the shell removes its runtime directory."""
    shell = shells()
    assert "ham0 on" in shell.answer("status")
    pid = lab.run("pgrep", "-f", f"{MCLU}$").stdout.split()[-1]
    assert lab.run("kill", "-HUP", pid).returncode == 0
    assert shell.status() == 129
    assert runtime_directories(lab) == []
