"""Guests that are crashed, suspended, paused by an error or saved: their true state, and the commands that help."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.support.boot_sectors import (
    IDLE,
    PANIC,
    PVPANIC,
    SLEEP_ONCE,
    run_full,
    run_panicked,
    run_sector,
    run_suspended,
    wait_for_state,
)
from tests.lab.support.cli import background, mclu, python, virsh, wait_until
from tests.lab.support.guests import clean, sh, states
from tests.lab.support.lab import RealLab

FULL = "/tmp/full"


@pytest.fixture
def full_guest(lab: RealLab) -> Iterator[None]:
    """The guest db on ham0, paused because the file system of its disk is full."""
    run_full(lab, "ham0", "db", FULL)
    yield
    clean(lab, "ham0")
    sh(lab, "ham0", f"umount -q -l {FULL}")


def condition(lab: RealLab, name: str = "db") -> str:
    """Return the state of a guest of ham0 with its reason, as virsh prints it."""
    return virsh(lab, "ham0", "domstate", name, "--reason").strip()


# Crashed and preserved


def test_a_crashed_guest_is_shown_and_counted(lab: RealLab) -> None:
    run_panicked(lab, "ham0", "db")
    assert mclu(lab, "list", "--active").lines == ["ham0:db  crashed (panicked)  16M  1vcpus"]
    assert mclu(lab, "list", "--inactive").out == ""
    _, used, halted = mclu(lab, "status", "ham0").lines[1:4]
    assert (used.split()[1], halted.strip()) == ("1guests", "halted: db crashed (panicked)")
    (node,) = json.loads(mclu(lab, "-o", "json", "status", "ham0").out)["nodes"]
    (guest,) = json.loads(mclu(lab, "-o", "json", "list", "--active").out)["guests"]
    assert node["halted_guests"] == ["db"]
    assert (guest["state"], guest["reason"]) == ("crashed", "panicked")
    refused = mclu(lab, "off", "ham0")
    assert (refused.status, refused.err) == (
        1,
        "mclu: ham0: cannot switch off: guest db is crashed (panicked) and still in memory; "
        "run 'shutdown --force ham0:db' to stop it, or destroy it first\n",
    )


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (
            "start",
            "db is crashed (panicked) and still in memory; run 'reboot --hard ham0:db' to reset it, "
            "or 'shutdown --force ham0:db' to stop it",
        ),
        ("reboot", "db is crashed (panicked) and cannot respond; use --hard to reset it"),
        ("shutdown", "db is crashed (panicked) and cannot respond; use --force to stop it like pulling its plug"),
    ],
)
def test_commands_for_a_crashed_guest_name_those_that_help(lab: RealLab, command: str, error: str) -> None:
    run_panicked(lab, "ham0", "db")
    for words in ([], ["-n"]):
        result = mclu(lab, *words, command, "db")
        assert (result.status, result.out, result.err) == (1, "", f"mclu: ham0: {error}\n")


@pytest.mark.parametrize("goal", ["running", "ip", "ssh"])
def test_wait_fails_at_once_for_a_crashed_guest(lab: RealLab, goal: str) -> None:
    run_panicked(lab, "ham0", "db")
    result = mclu(lab, "wait", "guest", "db", goal)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("mclu: ham0: db is crashed (panicked)")


def test_reboot_hard_restarts_a_crashed_guest(lab: RealLab) -> None:
    run_sector(lab, "ham0", "db", IDLE, "running (booted)", devices=PVPANIC)
    # The panic device reports any write, and the guest itself does not panic again.
    sh(lab, "ham0", "virsh -q qemu-monitor-command db --hmp 'o/b 0x505 1'")
    wait_for_state(lab, "ham0", "db", "crashed (panicked)")
    result = mclu(lab, "reboot", "--hard", "db")
    assert (result.status, result.out, result.err) == (0, "ham0:db reset\n", "")
    assert states(lab, "ham0")["db"] == "running"


def test_shutdown_force_stops_a_crashed_guest_at_once(lab: RealLab) -> None:
    run_panicked(lab, "ham0", "db")
    result = mclu(lab, "shutdown", "--force", "db")
    assert (result.status, result.out, result.err) == (0, "ham0:db stopped by force\n", "")
    assert states(lab, "ham0")["db"] == "shut off"
    assert result.seconds < 10


def test_destroy_shows_the_state_of_a_crashed_guest(lab: RealLab) -> None:
    run_panicked(lab, "ham0", "db")
    assert mclu(lab, "-n", "destroy", "db").out.startswith("would destroy ham0:db: crashed (panicked), ")
    assert mclu(lab, "destroy", "db").status == 0
    assert states(lab, "ham0") == {}


def test_a_guest_that_stopped_at_a_panic_is_shown_as_crashed(lab: RealLab) -> None:
    run_sector(
        lab,
        "ham0",
        "db",
        PANIC,
        "shut off (crashed)",
        devices=PVPANIC,
        on_crash="destroy",
    )
    assert mclu(lab, "list", "--inactive").lines == ["ham0:db  shut off (crashed)  16M  1vcpus"]
    assert mclu(lab, "wait", "guest", "db", "off").out == "ham0:db shut off (crashed)\n"


# Suspended to memory


def test_start_wakes_a_suspended_guest(lab: RealLab) -> None:
    run_suspended(lab, "ham0", "db")
    assert mclu(lab, "list", "--active").lines == ["ham0:db  pmsuspended  16M  1vcpus"]
    assert mclu(lab, "-n", "start", "db").out == "would wake ham0:db\n"
    result = mclu(lab, "start", "db")
    assert (result.status, result.out, result.err) == (0, "ham0:db woken\n", "")


@pytest.mark.parametrize(
    ("command", "option"),
    [("reboot", "--hard to reset it"), ("shutdown", "--force to stop it like pulling its plug")],
)
def test_a_suspended_guest_cannot_respond(lab: RealLab, command: str, option: str) -> None:
    run_suspended(lab, "ham0", "db")
    result = mclu(lab, command, "db")
    error = f"db is pmsuspended and cannot respond; run 'start ham0:db' to wake it, or use {option}"
    assert (result.status, result.out, result.err) == (1, "", f"mclu: ham0: {error}\n")


def test_reboot_hard_does_not_leave_a_suspended_guest_paused(lab: RealLab) -> None:
    run_suspended(lab, "ham0", "db")
    result = mclu(lab, "reboot", "--hard", "db")
    assert (result.status, result.out, result.err) == (0, "ham0:db reset\n", "")
    # It suspends again only if it runs.
    wait_for_state(lab, "ham0", "db", "pmsuspended (unknown)")
    assert "suspended" in sh(lab, "ham0", "virsh -q qemu-monitor-command db --hmp 'info status'")


def test_shutdown_force_stops_a_suspended_guest(lab: RealLab) -> None:
    run_suspended(lab, "ham0", "db")
    result = mclu(lab, "shutdown", "--force", "--timeout", "0", "db")
    assert (result.status, result.out, result.err) == (0, "ham0:db stopped by force\n", "")
    assert states(lab, "ham0")["db"] == "shut off"


def test_start_names_the_command_for_a_guest_that_libvirt_cannot_wake(lab: RealLab) -> None:
    run_suspended(lab, "ham0", "db")
    # QEMU then waits for `cont`, which libvirt does not send to a suspended guest.
    virsh(lab, "ham0", "reset", "db")
    result = mclu(lab, "start", "db")
    assert (result.status, result.out) == (1, "")
    assert result.err.endswith("; run 'shutdown --force ham0:db' to stop it\n")
    assert len(result.err.splitlines()) == 1


# Paused


@pytest.mark.usefixtures("full_guest")
def test_start_reports_a_guest_on_a_full_disk_as_paused_again(lab: RealLab) -> None:
    assert mclu(lab, "list", "--active").lines == ["ham0:db  paused (I/O error)  16M  1vcpus"]
    assert mclu(lab, "-n", "start", "db").out == (
        "would resume ham0:db: paused by I/O error: hda: no space; again if the error persists\n"
    )
    result = mclu(lab, "start", "db")
    error = "db is paused again: I/O error: hda: no space; free disk space on the node, then run 'start ham0:db'"
    assert (result.status, result.out, result.err) == (1, "", f"mclu: ham0: {error}\n")
    assert condition(lab) == "paused (I/O error)"


@pytest.mark.usefixtures("full_guest")
def test_start_resumes_a_guest_once_its_disk_has_space(lab: RealLab) -> None:
    sh(lab, "ham0", f"mount -o remount,size=80M {FULL}")
    result = mclu(lab, "start", "db")
    assert (result.status, result.out, result.err) == (0, "ham0:db resumed\n", "")
    assert states(lab, "ham0")["db"] == "running"


@pytest.mark.usefixtures("full_guest")
def test_a_guest_on_a_full_disk_cannot_respond(lab: RealLab) -> None:
    for command, option in (("reboot", "--hard to reset it"), ("shutdown", "--force to stop it like pulling its plug")):
        result = mclu(lab, command, "db")
        error = f"db is paused (I/O error) and cannot respond; run 'start ham0:db' to resume it, or use {option}"
        assert (result.status, result.out, result.err) == (1, "", f"mclu: ham0: {error}\n")


def test_reboot_hard_resumes_a_paused_guest(lab: RealLab) -> None:
    run_sector(lab, "ham0", "db", IDLE, "running (booted)")
    virsh(lab, "ham0", "suspend", "db")
    result = mclu(lab, "reboot", "--hard", "db")
    assert (result.status, result.out, result.err) == (0, "ham0:db reset\n", "")
    assert states(lab, "ham0")["db"] == "running"


def test_start_resumes_a_guest_that_was_reset_after_a_crash(lab: RealLab) -> None:
    run_sector(lab, "ham0", "db", IDLE, "running (booted)", devices=PVPANIC)
    sh(lab, "ham0", "virsh -q qemu-monitor-command db --hmp 'o/b 0x505 1'")
    wait_for_state(lab, "ham0", "db", "crashed (panicked)")
    virsh(lab, "ham0", "reset", "db")
    assert mclu(lab, "list", "--active").lines == ["ham0:db  paused (crashed)  16M  1vcpus"]
    assert mclu(lab, "start", "db").out == "ham0:db resumed\n"
    assert states(lab, "ham0")["db"] == "running"


# Saved


def test_saved_memory_is_shown_and_survives_a_restart_of_libvirtd(lab: RealLab) -> None:
    run_sector(lab, "ham0", "db", IDLE, "running (booted)")
    virsh(lab, "ham0", "managedsave", "db")
    assert mclu(lab, "list", "--inactive").lines == ["ham0:db  shut off (saved)  16M  1vcpus"]
    sh(lab, "ham0", "kill $(cat /run/libvirtd.pid); while [ -e /run/libvirtd.pid ]; do sleep 0.1; done; libvirtd -d")
    assert mclu(lab, "list", "--inactive").lines == ["ham0:db  shut off (saved)  16M  1vcpus"]
    assert mclu(lab, "-n", "start", "db").out == "would start ham0:db: with its saved memory\n"
    refused = mclu(lab, "shutdown", "db")
    assert refused.err == "mclu: ham0: db is not running (saved); run 'start ham0:db'\n"
    assert mclu(lab, "-n", "destroy", "db").out.startswith("would destroy ham0:db: shut off (saved), ")


def test_start_resumes_a_guest_that_was_paused_when_it_was_saved(lab: RealLab) -> None:
    run_sector(lab, "ham0", "db", IDLE, "running (booted)")
    virsh(lab, "ham0", "suspend", "db")
    virsh(lab, "ham0", "managedsave", "db")
    result = mclu(lab, "start", "db")
    assert (result.status, result.out, result.err) == (0, "ham0:db started\n", "")
    assert states(lab, "ham0")["db"] == "running"


def test_start_continues_a_guest_that_was_suspended_when_it_was_saved(lab: RealLab) -> None:
    run_suspended(lab, "ham0", "db", SLEEP_ONCE)
    virsh(lab, "ham0", "managedsave", "db")
    result = mclu(lab, "start", "db")
    assert (result.status, result.out, result.err) == (0, "ham0:db started\n", "")
    assert condition(lab).startswith("running ")


def test_start_reports_a_restored_guest_that_suspends_again(lab: RealLab) -> None:
    run_suspended(lab, "ham0", "db")
    virsh(lab, "ham0", "managedsave", "db")
    result = mclu(lab, "start", "db")
    error = (
        "db was started, but is pmsuspended; run 'start ham0:db' to wake it, or 'shutdown --force ham0:db' to stop it"
    )
    assert (result.status, result.out, result.err) == (1, "", f"mclu: ham0: {error}\n")


@pytest.mark.usefixtures("full_guest")
def test_start_reports_a_restored_guest_that_is_paused_again(lab: RealLab) -> None:
    virsh(lab, "ham0", "managedsave", "db")
    result = mclu(lab, "start", "db")
    assert (result.status, result.out) == (1, "")
    assert "db is paused again: I/O error: hda: no space" in result.err


def test_start_names_the_command_for_damaged_saved_memory(lab: RealLab) -> None:
    run_sector(lab, "ham0", "db", IDLE, "running (booted)")
    virsh(lab, "ham0", "managedsave", "db")
    sh(lab, "ham0", "truncate -s 4096 /var/lib/libvirt/qemu/save/db.save")
    result = mclu(lab, "start", "db")
    assert (result.status, result.out) == (1, "")
    assert "virsh managedsave-remove" in result.err


# A hung QEMU process


def test_a_hung_guest_delays_no_other_guest_of_its_node(lab: RealLab) -> None:
    for name in ("db", "mail", "web"):
        run_sector(lab, "ham0", name, IDLE, "running (booted)")
    sh(lab, "ham0", "pkill -STOP -f '[q]emu-system.*guest=db'")
    with background(lab, "reboot", "--hard", "ham0:*") as command:
        assert command.stdout is not None
        lines = {command.stdout.readline(), command.stdout.readline()}
        assert lines == {"ham0:mail reset\n", "ham0:web reset\n"}
        assert mclu(lab, "list", "--active").seconds < 10
        sh(lab, "ham0", "pkill -CONT -f '[q]emu-system.*guest=db'")
        assert command.communicate(timeout=30) == ("ham0:db reset\n", "")


_RESET = """
import subprocess
from mclu_shell.cloud.nodes import node as module
from mclu_shell.cloud.open import open_cloud
from mclu_shell.config import find_config, load_config
from mclu_shell.errors import MCluError

module._CHANGE_TIMEOUT_S = 2.0
node = open_cloud(load_config(find_config(None))).nodes[0]
(guest,) = node.fetch_guests()
branch = node._guest_changes._branches._branch
def branch_and_disturb():
    opened = branch()
    subprocess.run({disturb}, check=True)
    return opened
node._guest_changes._branches._branch = branch_and_disturb
try:
    node.change_guest("db", "reset", guest.uuid)
except MCluError as error:
    print(error.guest, error)
"""


@pytest.mark.parametrize(
    ("program", "error"),
    [
        (
            "-f '[q]emu-system.*guest=db'",
            "db ham0: db: its QEMU process does not answer; on the node: virsh destroy db\n",
        ),
        (
            "-x libvirtd",
            "db ham0: libvirtd not answering, while changing db; on the node: systemctl restart libvirtd\n",
        ),
    ],
)
def test_a_change_without_an_answer_names_the_program_that_hangs(lab: RealLab, program: str, error: str) -> None:
    run_sector(lab, "ham0", "db", IDLE, "running (booted)")
    try:
        assert python(lab, _RESET.format(disturb=f"['ssh', 'ham0', {f'pkill -STOP {program}'!r}]")) == error
    finally:
        sh(lab, "ham0", f"pkill -CONT {program}")


def test_a_change_that_loses_its_node_reports_the_node_as_off(lab: RealLab, tmp_path: Path) -> None:
    run_sector(lab, "ham0", "db", IDLE, "running (booted)")
    begun, is_off = tmp_path / "begun", tmp_path / "off"
    disturb = ["sh", "-c", f"touch {begun}; until [ -e {is_off} ]; do sleep 0.1; done"]
    with ThreadPoolExecutor(1) as pool:
        output = pool.submit(python, lab, _RESET.format(disturb=disturb))
        wait_until(lambda: begun.exists() or output.done())
        lab.off("ham0")
        is_off.touch()
        assert output.result() == "db ham0: is off; run 'on ham0'\n"


def test_errors_of_libvirt_name_the_guest(lab: RealLab) -> None:
    run_sector(lab, "ham0", "db", IDLE, "running (booted)")
    virsh(lab, "ham0", "destroy", "db")
    sh(lab, "ham0", "rm /tmp/db.img")
    result = mclu(lab, "-o", "json", "start", "db")
    (error,) = [json.loads(line) for line in result.lines]
    assert (error["guest"], error["fact"].split()[:2]) == ("db", ["db:", "libvirt:"])
    assert result.err.startswith("mclu: ham0: db: libvirt: ")
    assert len(result.err.splitlines()) == 1


# Guests of mclu


@pytest.mark.usefixtures("templates")
def test_a_panic_in_a_guest_of_mclu_is_noticed(lab: RealLab) -> None:
    assert mclu(lab, "boot", "quick", "ham0:web").status == 0
    sh(lab, "ham0", "virsh -q qemu-monitor-command web --hmp 'o/b 0x505 1'")
    wait_for_state(lab, "ham0", "web", "shut off (crashed)")
    assert "shut off (crashed)" in mclu(lab, "list", "--inactive").out
    assert mclu(lab, "wait", "guest", "web", "off").out == "ham0:web shut off (crashed)\n"
