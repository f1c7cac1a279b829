"""scripts/lab itself: what the other tests on real nodes stand on. As root, and as an ordinary user."""

import contextlib
import os
import subprocess
import time

import pexpect
import pytest

from tests.lab.lab.fixtures import CONNECT, WAKE, lab, mac_of, pid_of, shared, words
from tests.lab.support.lab import RealLab, execute

__all__ = ["lab", "shared", "words"]


DOMAIN = """
<domain type='qemu'>
  <name>small</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64'>hvm</type></os>
</domain>
"""


# Power


@pytest.mark.parametrize("how", ["9", "40000", "ethertype"])
def test_magic_packet_switches_on(lab: RealLab, how: str) -> None:
    assert lab.python(CONNECT, "ham1") == "silent"
    lab.python(WAKE, mac_of(lab, "ham1"), how)
    lab.wait("on", "ham1")
    assert lab.run("ssh", "ham1", "hostname").stdout == "ham1\n"
    assert lab.states() == {"ham0": "on", "ham1": "on", "ham2": "off"}


def test_last_node_can_be_woken_up(lab: RealLab) -> None:
    lab.off("ham0")
    lab.python(WAKE, mac_of(lab, "ham0"), "9")
    lab.wait("on", "ham0")


def test_node_that_is_on_ignores_its_button(lab: RealLab) -> None:
    before = pid_of(lab, "ham0")
    for node in ("ham0", "ham1"):
        lab.python(WAKE, mac_of(lab, node), "9")
    lab.wait("on", "ham1")
    assert pid_of(lab, "ham0") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="adding a user needs root")
def test_a_user_who_is_added_on_the_host_leaves_the_lab_alone(lab: RealLab) -> None:
    passwd = lab.run("cat", "/etc/passwd").stdout
    name = f"mclu-new-{os.getpid()}"
    subprocess.run(["useradd", name], check=True)
    subprocess.run(["userdel", name], check=True)
    assert lab.run("cat", "/etc/passwd").stdout == passwd
    assert lab.run("ssh", "ham0", "true").returncode == 0


@pytest.mark.parametrize("command", ["poweroff", "shutdown -h now", "systemctl poweroff"])
def test_power_off_inside_takes_node_and_link_down(lab: RealLab, command: str) -> None:
    assert lab.run("ssh", "ham0", command).returncode == 0
    lab.wait("off", "ham0")
    assert lab.python(CONNECT, "ham0") == "silent"
    assert "ham0" not in lab.run("ip", "-brief", "link").stdout


def test_reboot_ends_what_ran_and_keeps_the_disk(lab: RealLab) -> None:
    lab.run("sh", "-c", "touch /run/gone /tmp/gone /root/kept; sleep 1000 >&- 2>&- &", node="ham0")
    before = pid_of(lab, "ham0")
    lab.run("ssh", "ham0", "reboot")
    deadline = time.monotonic() + 20
    while pid_of(lab, "ham0") in (before, "0"):
        assert time.monotonic() < deadline
    lab.wait("on", "ham0")
    left = lab.run("sh", "-c", "ls -d /run/gone /tmp/gone /root/kept; pgrep -x sleep", node="ham0").stdout
    assert left == "/root/kept\n1\n"


def test_guest_runs_and_a_power_cut_ends_it(lab: RealLab) -> None:
    lab.run("tee", "/root/small.xml", node="ham0", input=DOMAIN)
    made = lab.run("sh", "-c", "virsh -q define small.xml && virsh -q start small && virsh list --name", node="ham0")
    assert made.stdout.split() == ["small"], made.stderr
    lab.off("ham0")
    lab.on("ham0")
    listed = lab.run("virsh", "-q", "-c", "qemu+ssh://ham0/system", "list", "--all").stdout
    assert listed.split() == ["-", "small", "shut", "off"]
    lab.run("virsh", "undefine", "small", node="ham0")


# Faults


def test_frozen_node_accepts_and_says_nothing(lab: RealLab) -> None:
    lab.freeze("ham0")
    assert lab.states()["ham0"] == "frozen"
    assert lab.python(CONNECT, "ham0") == "accepted"
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run("ssh", "ham0", "true", timeout=1)
    lab.thaw("ham0")
    assert lab.run("ssh", "ham0", "true").returncode == 0


def test_frozen_libvirtd_leaves_ssh_working(lab: RealLab) -> None:
    ask = ("virsh", "-c", "qemu+ssh://ham0/system", "list")
    lab.freeze("ham0", libvirtd=True)
    assert lab.states()["ham0"] == "on, libvirtd frozen"
    assert lab.run("ssh", "ham0", "true").returncode == 0
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run(*ask, timeout=1)
    lab.thaw("ham0", libvirtd=True)
    assert lab.run(*ask).returncode == 0


def test_killed_libvirtd_can_be_started_again(lab: RealLab) -> None:
    end = "read -r pid </run/libvirtd.pid; kill $pid; tail --pid=$pid -f /dev/null"
    lab.run("sh", "-c", end, node="ham0")
    assert lab.run("virsh", "-c", "qemu+ssh://ham0/system", "list").returncode != 0
    assert lab.run("libvirtd", "--daemon", node="ham0").returncode == 0
    lab.wait("on", "ham0")
    assert lab.run("virsh", "-c", "qemu+ssh://ham0/system", "list").returncode == 0
    assert "defunct" not in lab.run("ps", "ax", node="ham0").stdout


def test_changed_forgotten_and_remembered_keys(lab: RealLab) -> None:
    def log_in() -> str:
        return lab.run("ssh", "-o", "BatchMode=yes", "ham0", "hostname").stderr

    lab.rekey("ham0")
    assert "IDENTIFICATION HAS CHANGED" in log_in()
    lab.forget("ham0")
    assert log_in() == "Host key verification failed.\n"
    lab.lab("remember", "ham0")
    assert log_in() == ""


def test_lost_packet_delays_one_connection(lab: RealLab) -> None:
    lab.lose("ham0")
    assert [lab.python(CONNECT, "ham0") for _ in range(2)] == ["silent", "accepted"]


# Commands in a lab


def test_exec_passes_status_and_streams(lab: RealLab) -> None:
    for node in (None, "ham0"):
        done = lab.run("sh", "-c", "cat; echo lost >&2; exit 7", node=node, input="found")
        assert (done.returncode, done.stdout, done.stderr) == (7, "found", "lost\n")


def test_interrupt_reaches_the_command_and_not_what_waits_for_it(lab: RealLab) -> None:
    script = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.1; done"
    for node in (None, "ham0"):
        words = lab.command("sh", "-c", script, node=node)
        with contextlib.closing(pexpect.spawn(words[0], words[1:], encoding="utf-8", timeout=10)) as terminal:
            terminal.expect("ready")
            terminal.sendintr()
            terminal.expect("caught")
            terminal.expect(pexpect.EOF)
            terminal.wait()
            assert terminal.exitstatus == 5


def test_killed_exec_leaves_no_command(lab: RealLab) -> None:
    for node in (None, "ham0"):
        with pytest.raises(subprocess.TimeoutExpired):
            lab.run("sh", "-c", "exec sleep 12345", node=node, timeout=1)
        assert lab.run("pgrep", "-f", "sleep 12345").stdout == ""


def test_operator_has_a_home_and_surroundings_of_his_own(lab: RealLab) -> None:
    told = lab.run("sh", "-c", 'echo "$HOME $MCLU_CONFIG $XDG_RUNTIME_DIR [$SSH_AUTH_SOCK] $(id -un)"').stdout
    assert told == f"{lab.path}/home {lab.path}/mclu.conf {lab.path}/run [] root\n"
    # OpenSSH asks passwd, not the environment.
    assert f"{lab.path}/home/.ssh/known_hosts" in lab.run("ssh", "-G", "ham0").stdout.replace("~", f"{lab.path}/home")


def test_errors_are_one_line(lab: RealLab, words: tuple[str, ...]) -> None:
    def complaint(*argv: str) -> tuple[int, str]:
        done = execute([*words, *argv])
        return done.returncode, done.stderr

    name = ("--name", lab.name)
    assert complaint("on", *name, "ham9") == (1, "lab: ham9: no such node\n")
    assert complaint("exec", *name, "--node", "ham1", "true") == (1, "lab: ham1: is off\n")
    assert complaint("up", *name, "1") == (1, f"lab: a lab '{lab.name}' is up already\n")
    assert complaint("list", "--name", "nobody") == (1, "lab: no lab 'nobody' is up\n")
    assert complaint("up", "--name", "a/b", "1")[0] == 1
    assert complaint("up", "none")[0] == complaint("exec", *name)[0] == 2
