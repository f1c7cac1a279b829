"""scripts/lab, on which the other lab tests depend, run by root and by an ordinary user."""

import contextlib
import os
import subprocess
import time

import pexpect
import pytest

from tests.lab.support.lab import RealLab, execute
from tests.lab.support.lan import CONNECT, WAKE, mac_of, pid_of

DOMAIN = """
<domain type='qemu'>
  <name>small</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64'>hvm</type></os>
</domain>
"""


# Power


@pytest.mark.parametrize("packet", ["9", "40000", "ethertype"])
def test_a_magic_packet_switches_a_node_on(lab: RealLab, packet: str) -> None:
    assert lab.python(CONNECT, "ham1") == "silent"
    lab.python(WAKE, mac_of(lab, "ham1"), packet)
    lab.wait("on", "ham1")
    assert lab.run("ssh", "ham1", "hostname").stdout == "ham1\n"
    assert lab.states() == {"ham0": "on", "ham1": "on", "ham2": "off"}


def test_a_magic_packet_wakes_the_only_node_of_the_lan(lab: RealLab) -> None:
    lab.off("ham0")
    lab.python(WAKE, mac_of(lab, "ham0"), "9")
    lab.wait("on", "ham0")


def test_a_node_that_is_on_ignores_magic_packets(lab: RealLab) -> None:
    before = pid_of(lab, "ham0")
    for node in ("ham0", "ham1"):
        lab.python(WAKE, mac_of(lab, node), "9")
    lab.wait("on", "ham1")
    assert pid_of(lab, "ham0") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="adding a user needs root")
def test_a_user_added_on_the_host_does_not_change_the_lab(lab: RealLab) -> None:
    passwd = lab.run("cat", "/etc/passwd").stdout
    name = f"mclu-new-{os.getpid()}"
    subprocess.run(["useradd", name], check=True)
    subprocess.run(["userdel", name], check=True)
    assert lab.run("cat", "/etc/passwd").stdout == passwd
    assert lab.run("ssh", "ham0", "true").returncode == 0


@pytest.mark.parametrize("command", ["poweroff", "shutdown -h now", "systemctl poweroff"])
def test_poweroff_inside_a_node_ends_it_and_removes_its_link(lab: RealLab, command: str) -> None:
    assert lab.run("ssh", "ham0", command).returncode == 0
    lab.wait("off", "ham0")
    assert lab.python(CONNECT, "ham0") == "silent"
    assert "ham0" not in lab.run("ip", "-brief", "link").stdout


def test_reboot_ends_all_processes_and_keeps_the_disk(lab: RealLab) -> None:
    lab.run("sh", "-c", "touch /run/gone /tmp/gone /root/kept; sleep 1000 >&- 2>&- &", node="ham0")
    before = pid_of(lab, "ham0")
    lab.run("ssh", "ham0", "reboot")
    deadline = time.monotonic() + 20
    while pid_of(lab, "ham0") in (before, "0"):
        assert time.monotonic() < deadline
    lab.wait("on", "ham0")
    remaining = lab.run("sh", "-c", "ls -d /run/gone /tmp/gone /root/kept; pgrep -x sleep", node="ham0").stdout
    assert remaining == "/root/kept\n1\n"


def test_a_power_cut_ends_a_running_guest(lab: RealLab) -> None:
    lab.run("tee", "/root/small.xml", node="ham0", input=DOMAIN)
    made = lab.run("sh", "-c", "virsh -q define small.xml && virsh -q start small && virsh list --name", node="ham0")
    assert made.stdout.split() == ["small"], made.stderr
    lab.off("ham0")
    lab.on("ham0")
    listed = lab.run("virsh", "-q", "-c", "qemu+ssh://ham0/system", "list", "--all").stdout
    assert listed.split() == ["-", "small", "shut", "off"]
    lab.run("virsh", "undefine", "small", node="ham0")


# Faults


def test_a_frozen_node_accepts_connections_and_sends_nothing(lab: RealLab) -> None:
    lab.freeze("ham0")
    assert lab.states()["ham0"] == "frozen"
    assert lab.python(CONNECT, "ham0") == "accepted"
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run("ssh", "ham0", "true", timeout=1)
    lab.thaw("ham0")
    assert lab.run("ssh", "ham0", "true").returncode == 0


def test_a_frozen_libvirtd_does_not_affect_ssh(lab: RealLab) -> None:
    request = ("virsh", "-c", "qemu+ssh://ham0/system", "list")
    lab.freeze("ham0", libvirtd=True)
    assert lab.states()["ham0"] == "on, libvirtd frozen"
    assert lab.run("ssh", "ham0", "true").returncode == 0
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run(*request, timeout=1)
    lab.thaw("ham0", libvirtd=True)
    assert lab.run(*request).returncode == 0


def test_a_killed_libvirtd_can_be_started_again(lab: RealLab) -> None:
    end = "read -r pid </run/libvirtd.pid; kill $pid; tail --pid=$pid -f /dev/null"
    lab.run("sh", "-c", end, node="ham0")
    assert lab.run("virsh", "-c", "qemu+ssh://ham0/system", "list").returncode != 0
    assert lab.run("libvirtd", "--daemon", node="ham0").returncode == 0
    lab.wait("on", "ham0")
    assert lab.run("virsh", "-c", "qemu+ssh://ham0/system", "list").returncode == 0
    assert "defunct" not in lab.run("ps", "ax", node="ham0").stdout


def test_rekey_forget_and_remember_change_the_host_key_as_ssh_sees_it(lab: RealLab) -> None:
    def log_in() -> str:
        return lab.run("ssh", "-o", "BatchMode=yes", "ham0", "hostname").stderr

    lab.rekey("ham0")
    assert "IDENTIFICATION HAS CHANGED" in log_in()
    lab.forget("ham0")
    assert log_in() == "Host key verification failed.\n"
    lab.remember("ham0")
    assert log_in() == ""


def test_a_lost_packet_delays_one_connection(lab: RealLab) -> None:
    lab.lose("ham0")
    assert [lab.python(CONNECT, "ham0") for _ in range(2)] == ["silent", "accepted"]


# Commands in a lab


def test_exec_passes_the_exit_status_and_streams(lab: RealLab) -> None:
    for node in (None, "ham0"):
        completed = lab.run("sh", "-c", "cat; echo lost >&2; exit 7", node=node, input="found")
        assert (completed.returncode, completed.stdout, completed.stderr) == (7, "found", "lost\n")


def test_ctrl_c_reaches_the_command_and_not_exec_itself(lab: RealLab) -> None:
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


def test_a_killed_exec_ends_its_command(lab: RealLab) -> None:
    for node in (None, "ham0"):
        with pytest.raises(subprocess.TimeoutExpired):
            lab.run("sh", "-c", "exec sleep 12345", node=node, timeout=1)
        assert lab.run("pgrep", "-f", "sleep 12345").stdout == ""


def test_the_operator_has_a_home_and_environment_of_their_own(lab: RealLab) -> None:
    result = lab.run("sh", "-c", 'echo "$HOME $MCLU_CONFIG $XDG_RUNTIME_DIR [$SSH_AUTH_SOCK] $(id -un)"').stdout
    assert result == f"{lab.path}/home {lab.path}/mclu.conf {lab.path}/run [] root\n"
    # OpenSSH asks passwd, not the environment.
    assert f"{lab.path}/home/.ssh/known_hosts" in lab.run("ssh", "-G", "ham0").stdout.replace("~", f"{lab.path}/home")


def test_lab_prints_errors_in_one_line(lab: RealLab, words: tuple[str, ...]) -> None:
    def error(*argv: str) -> tuple[int, str]:
        completed = execute([*words, *argv])
        return completed.returncode, completed.stderr

    name = ("--name", lab.name)
    assert error("on", *name, "ham9") == (1, "lab: ham9: no such node\n")
    assert error("exec", *name, "--node", "ham1", "true") == (1, "lab: ham1: is off\n")
    assert error("up", *name, "1") == (1, f"lab: a lab '{lab.name}' is up already\n")
    assert error("list", "--name", "absent") == (1, "lab: no lab 'absent' is up\n")
    assert error("up", "--name", "a/b", "1")[0] == 1
    assert error("up", "none")[0] == error("exec", *name)[0] == 2
