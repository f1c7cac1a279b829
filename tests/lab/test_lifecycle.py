"""start, shutdown and reboot on real nodes: the output, and the states in virsh."""

import os
import subprocess

import pytest

from tests.lab.support.cli import (
    background,
    describe_guest,
    mclu,
    mclu_parallel,
    python,
    run_guest,
    sockets,
    virsh,
    wait_until,
)
from tests.lab.support.guests import SHIPPED, clean, send_signal, sh, states
from tests.lab.support.lab import RealLab, environment

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])


@pytest.fixture(autouse=True)
def _guests(lab: RealLab) -> None:
    """Define the guest web on both nodes, db on ham0 and mail on ham1; all are shut off."""
    for node, name in (("ham0", "web"), ("ham0", "db"), ("ham1", "web"), ("ham1", "mail")):
        define(lab, node, name)


def define(lab: RealLab, node: str, name: str, *, is_started: bool = False) -> None:
    virsh(lab, node, "define", describe_guest(lab, node, name, memory_mib=32))
    if is_started:
        virsh(lab, node, "start", name)


# start


def test_start_starts_guests_on_several_nodes(lab: RealLab) -> None:
    virsh(lab, "ham1", "start", "web")
    result = mclu(lab, "start", "*:*")
    assert (result.status, result.err) == (0, "")
    assert sorted(result.lines) == ["ham0:db started", "ham0:web started", "ham1:mail started"]
    assert states(lab, "ham0") == {"db": "running", "web": "running"}
    assert states(lab, "ham1") == {"mail": "running", "web": "running"}


def test_start_continues_after_a_guest_that_cannot_start(lab: RealLab) -> None:
    sh(lab, "ham0", "echo >/tmp/no.img; virsh -q attach-disk db /tmp/no.img vda --config; rm /tmp/no.img")
    result = mclu(lab, "start", "db", "mail", "ham1:web")
    assert (result.status, sorted(result.lines)) == (1, ["ham1:mail started", "ham1:web started"])
    assert result.err.startswith("mclu: ham0: db: libvirt: Cannot access storage file '/tmp/no.img'")
    assert len(result.err.splitlines()) == 1
    assert states(lab, "ham0")["db"] == "shut off"


def test_start_refuses_a_running_guest(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    result = mclu(lab, "start", "db")
    assert (result.status, result.out, result.err) == (1, "", "mclu: ham0: db is already running\n")


def test_start_resumes_a_paused_guest(lab: RealLab) -> None:
    pause(lab)
    result = mclu(lab, "start", "db")
    assert (result.status, result.out, result.err) == (0, "ham0:db resumed\n", "")
    assert states(lab, "ham0")["db"] == "running"


def pause(lab: RealLab) -> None:
    """Start and pause db on ham0."""
    virsh(lab, "ham0", "start", "db")
    virsh(lab, "ham0", "suspend", "db")


def test_start_restores_a_managed_save(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    virsh(lab, "ham0", "managedsave", "db")
    assert mclu(lab, "start", "db").out == "ham0:db started\n"
    assert "restored" in sh(lab, "ham0", "virsh domstate --reason db")


# reboot


def test_reboot_requests_a_reboot_and_resets_with_hard(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    watch = lab.command("virsh", "event", "--all", "--loop", node="ham0")
    with subprocess.Popen(watch, stdout=subprocess.PIPE, env=environment()) as events:
        stream = events.stdout
        assert stream
        os.set_blocking(stream.fileno(), False)
        # The first event proves that virsh has subscribed.
        wait_until(lambda: virsh(lab, "ham0", "suspend", "db") + virsh(lab, "ham0", "resume", "db") or stream.read())
        soft = mclu(lab, "reboot", "db")
        assert (soft.status, soft.out, soft.err) == (0, "ham0:db reboot requested\n", "")
        hard = mclu(lab, "reboot", "--hard", "db")
        assert (hard.status, hard.out, hard.err) == (0, "ham0:db reset\n", "")
        wait_until(lambda: b"event 'reboot' for domain 'db'" in (stream.read() or b""))
        events.kill()
    assert states(lab, "ham0")["db"] == "running"


def test_reboot_affects_only_running_guests(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "web")
    virsh(lab, "ham1", "start", "mail")
    result = mclu(lab, "reboot", "--hard", "*:*")
    assert (result.status, sorted(result.lines), result.err) == (0, ["ham0:web reset", "ham1:mail reset"], "")
    result = mclu(lab, "reboot", "db", "mail", "ham1:web")
    assert (result.status, result.lines) == (1, ["ham1:mail reboot requested"])
    assert sorted(result.err.splitlines()) == [
        "mclu: ham0: db is not running; run 'start ham0:db'",
        "mclu: ham1: web is not running; run 'start ham1:web'",
    ]


def test_reboot_refuses_a_paused_guest(lab: RealLab) -> None:
    pause(lab)
    result = mclu(lab, "reboot", "db")
    remedy = "run 'start ham0:db' to resume it, or use --hard to reset it"
    assert (result.status, result.out, result.err) == (
        1,
        "",
        f"mclu: ham0: db is paused and cannot respond; {remedy}\n",
    )
    assert mclu(lab, "reboot", "--hard", "db").out == "ham0:db reset\n"


def test_the_suggested_command_quotes_the_name_of_the_guest(lab: RealLab) -> None:
    name = "we $(id) b"
    define(lab, "ham0", name)
    result = mclu(lab, "reboot", f"ham0:{name}")
    assert (result.status, result.err) == (1, f"mclu: ham0: {name} is not running; run start 'ham0:{name}'\n")


# shutdown


def test_shutdown_waits_until_the_guests_have_shut_down(lab: RealLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCLU_PATH", str(SHIPPED))
    assert [result.out for result in mclu_parallel(lab, "boot tiny ham0:tiny0", "boot tiny ham1:tiny1")] == [
        "ham0:tiny0 running\n",
        "ham1:tiny1 running\n",
    ]
    # The guests are still starting, so mclu may have to repeat the request.
    result = mclu(lab, "shutdown", "tiny*", "--timeout", "60")
    assert (result.status, sorted(result.lines), result.err) == (
        0,
        ["ham0:tiny0 shut down", "ham1:tiny1 shut down"],
        "",
    )
    assert states(lab, "ham0")["tiny0"] == states(lab, "ham1")["tiny1"] == "shut off"


@pytest.mark.parametrize("seconds", ["0", "500ms"])
def test_shutdown_with_force_stops_a_guest_that_ignores_the_request(lab: RealLab, seconds: str) -> None:
    virsh(lab, "ham0", "start", "db")
    result = mclu(lab, "shutdown", "db", "--timeout", seconds)
    assert (result.status, result.out) == (1, "")
    shown = {"0": "0 s", "500ms": "0.5 s"}[seconds]
    assert (
        result.err == f"mclu: ham0: db is still running after {shown}; use --force to stop it like pulling its plug\n"
    )
    assert states(lab, "ham0")["db"] == "running"
    result = mclu(lab, "shutdown", "db", "--timeout", seconds, "--force")
    assert (result.status, result.out, result.err) == (0, "ham0:db stopped by force\n", "")
    assert states(lab, "ham0")["db"] == "shut off"


def test_shutdown_refuses_a_paused_guest_and_force_stops_it(lab: RealLab) -> None:
    pause(lab)
    result = mclu(lab, "shutdown", "db", "--timeout", "60")
    remedy = "run 'start ham0:db' to resume it, or use --force to stop it like pulling its plug"
    assert (result.status, result.out, result.err) == (
        1,
        "",
        f"mclu: ham0: db is paused and cannot respond; {remedy}\n",
    )
    assert states(lab, "ham0")["db"] == "paused"
    result = mclu(lab, "shutdown", "db", "--timeout", "0", "--force")
    assert (result.status, result.out, result.err) == (0, "ham0:db stopped by force\n", "")
    assert states(lab, "ham0")["db"] == "shut off"


@pytest.mark.slow  # libvirt itself gives up after 30 s.
def test_shutdown_with_force_stops_a_guest_whose_qemu_is_frozen(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    sh(lab, "ham0", "pkill -STOP -f '[q]emu-system.*guest=db'")
    # libvirt blocks the first request for the guest, and refuses later ones.
    mclu(lab, "status", "ham0")
    result = mclu(lab, "shutdown", "db", "--timeout", "0", "--force")
    assert (result.status, result.out, result.err) == (0, "ham0:db stopped by force\n", "")
    assert states(lab, "ham0")["db"] == "shut off"


def test_shutdown_accepts_guests_that_stop_for_another_reason(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    # This guest is transient.
    run_guest(lab, "ham1", "brief")
    with background(lab, "shutdown", "db", "brief", "--timeout", "60") as command:
        wait_until(lambda: count_sessions(lab) == 2)
        for node, name in (("ham0", "db"), ("ham1", "brief")):
            virsh(lab, node, "destroy", name)
        out, err = command.communicate(timeout=30)
    assert (command.returncode, sorted(out.splitlines()), err) == (0, ["ham0:db shut down", "ham1:brief shut down"], "")


def count_sessions(lab: RealLab) -> int:
    """Count the nodes with an open libvirt connection of mclu."""
    return len([path for path in sockets(lab) if path.stem in "01"])


STOPS = """
import os
from pathlib import Path
from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.open import open_cloud
from mclu_shell.cloud.guests.find import find_guest
from mclu_shell.cloud.guests.shutdown import shutdown
from mclu_shell.config import load_config
from mclu_shell.errors import MCluError
node, guest = find_guest(open_cloud(load_config(Path(os.environ["MCLU_CONFIG"]))), "db")
scope = CancelScope(60)
scope.cancel()
try:
    print(shutdown(node, guest, scope, force=True))
except MCluError as error:
    print(error)
"""


def test_interrupting_shutdown_does_not_force_the_guest_off(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    with background(lab, "shutdown", "db", "--timeout", "60", "--force") as command:
        wait_until(lambda: count_sessions(lab))
        send_signal(command, "INT")
        out, err = command.communicate(timeout=5)
    assert (command.returncode, out, err) == (130, "", "")
    assert states(lab, "ham0")["db"] == "running"
    # The interactive shell survives the interrupt, and so do its threads.
    assert "stopped by force" not in python(lab, STOPS)
    assert states(lab, "ham0")["db"] == "running"


# Nodes and names


def test_a_guest_name_on_two_nodes_is_ambiguous(lab: RealLab) -> None:
    start, shutdown, reboot = mclu_parallel(lab, "start web", "shutdown web", "reboot web")
    for result in (start, shutdown, reboot):
        assert (result.status, result.out) == (1, "")
        assert result.err == "mclu: web is on ham0 and ham1; specify the host: ham0:web\n"
    assert set(states(lab, "ham0").values()) == {"shut off"}


def test_actions_on_guests_report_nodes_that_are_off_or_frozen(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    lab.freeze("ham1", libvirtd=True)
    try:
        every, off, named = mclu_parallel(lab, "reboot --hard *", "start ham3:web", "start ham1:mail")
    finally:
        lab.thaw("ham1", libvirtd=True)
    assert (every.status, every.out) == (1, "ham0:db reset\n")
    assert every.err.startswith("mclu: ham1: libvirtd not answering; ")
    assert (off.status, off.err) == (1, "mclu: ham3: is off; run 'on ham3'\n")
    assert (named.status, named.out) == (1, "")
    assert named.err.startswith("mclu: ham1: libvirtd not answering; ")


def test_shutdown_reports_a_node_that_loses_power(lab: RealLab) -> None:
    virsh(lab, "ham1", "start", "mail")
    virsh(lab, "ham0", "start", "db")
    with background(lab, "shutdown", "mail", "db", "--timeout", "60") as command:
        wait_until(lambda: count_sessions(lab) == 2)
        lab.off("ham1")
        virsh(lab, "ham0", "destroy", "db")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out) == (1, "ham0:db shut down\n")
    assert err == "mclu: ham1: is off; run 'on ham1'\n"


def test_completion_follows_the_changes_of_one_shot_commands(lab: RealLab) -> None:
    # No other test has used the name of this guest, which could be cached for a node that is off.
    def completes(line: str) -> str:
        return mclu(lab, "--complete", "bash", "9", ":", f"mclu {line}").out

    clean(lab, "ham0")
    virsh(lab, "ham0", "define", describe_guest(lab, "ham0", "tabbed"))
    virsh(lab, "ham0", "start", "tabbed")
    assert mclu(lab, "status").status == 0
    assert "tabbed" in completes("shutdown tab")
    assert mclu(lab, "shutdown", "--force", "--timeout", "1s", "tabbed").status == 0
    assert ("tabbed" in completes("start tab"), completes("shutdown tab")) == (True, "\n")
    assert mclu(lab, "start", "tabbed").status == 0
    assert "tabbed" in completes("shutdown tab")
    assert mclu(lab, "destroy", "--yes", "tabbed").status == 0
    assert completes("destroy tab") == "\n"
