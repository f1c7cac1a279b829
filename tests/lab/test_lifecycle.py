"""start, shutdown and reboot on real nodes: a line for each guest, and what virsh then says of it."""

import os
import subprocess

import pytest

from tests.lab.support.cli import at_once, describe_guest, mclu, python, run_guest, sockets, started, until, virsh
from tests.lab.support.guests import SHIPPED, clean, make_ready, send, sh, states
from tests.lab.support.lab import RealLab, environment


@pytest.fixture
def lab(lab4: RealLab) -> RealLab:
    """ham0 and ham1 are on, each with a guest web and a guest of its own, all shut off; ham2 and ham3 are off."""
    make_ready(lab4)
    for node, name in (("ham0", "web"), ("ham0", "db"), ("ham1", "web"), ("ham1", "mail")):
        define(lab4, node, name)
    return lab4


def define(lab: RealLab, node: str, name: str, *, is_started: bool = False) -> None:
    virsh(lab, node, "define", describe_guest(lab, node, name, memory_mib=32))
    if is_started:
        virsh(lab, node, "start", name)


# start


def test_start_several_on_several_nodes(lab: RealLab) -> None:
    virsh(lab, "ham1", "start", "web")
    told = mclu(lab, "start", "*:*")
    assert (told.status, told.err) == (0, "")
    assert sorted(told.lines) == ["ham0:db started", "ham0:web started", "ham1:mail started"]
    assert states(lab, "ham0") == {"db": "running", "web": "running"}
    assert states(lab, "ham1") == {"mail": "running", "web": "running"}


def test_one_that_cannot_start_hinders_no_other(lab: RealLab) -> None:
    sh(lab, "ham0", "echo >/tmp/no.img; virsh -q attach-disk db /tmp/no.img vda --config; rm /tmp/no.img")
    told = mclu(lab, "start", "db", "mail", "ham1:web")
    assert (told.status, sorted(told.lines)) == (1, ["ham1:mail started", "ham1:web started"])
    assert told.err.startswith("mclu: ham0: libvirt: Cannot access storage file '/tmp/no.img'")
    assert len(told.err.splitlines()) == 1
    assert states(lab, "ham0")["db"] == "shut off"


def test_start_what_is_active_already(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    told = mclu(lab, "start", "db")
    assert (told.status, told.out, told.err) == (1, "", "mclu: ham0: db is already running\n")


def test_start_lets_a_paused_guest_go_on(lab: RealLab) -> None:
    pause(lab)
    told = mclu(lab, "start", "db")
    assert (told.status, told.out, told.err) == (0, "ham0:db resumed\n", "")
    assert states(lab, "ham0")["db"] == "running"


def pause(lab: RealLab) -> None:
    """Have db on ham0 be paused."""
    virsh(lab, "ham0", "start", "db")
    virsh(lab, "ham0", "suspend", "db")


def test_start_goes_on_where_a_managed_save_stopped(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    virsh(lab, "ham0", "managedsave", "db")
    assert mclu(lab, "start", "db").out == "ham0:db started\n"
    assert "restored" in sh(lab, "ham0", "virsh domstate --reason db")


# reboot


def test_reboot(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    watch = lab.command("virsh", "event", "--all", "--loop", node="ham0")
    with subprocess.Popen(watch, stdout=subprocess.PIPE, env=environment()) as events:
        assert events.stdout is not None
        os.set_blocking(events.stdout.fileno(), False)
        # Until the first event is seen, nobody knows whether events are watched.
        until(lambda: virsh(lab, "ham0", "suspend", "db") + virsh(lab, "ham0", "resume", "db") or events.stdout.read())
        asked = mclu(lab, "reboot", "db")
        assert (asked.status, asked.out, asked.err) == (0, "ham0:db reboot requested\n", "")
        hard = mclu(lab, "reboot", "--hard", "db")
        assert (hard.status, hard.out, hard.err) == (0, "ham0:db reset\n", "")
        until(lambda: b"event 'reboot' for domain 'db'" in (events.stdout.read() or b""))
        events.kill()
    assert states(lab, "ham0")["db"] == "running"


def test_only_what_runs_is_rebooted(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "web")
    virsh(lab, "ham1", "start", "mail")
    told = mclu(lab, "reboot", "--hard", "*:*")
    assert (told.status, sorted(told.lines), told.err) == (0, ["ham0:web reset", "ham1:mail reset"], "")
    told = mclu(lab, "reboot", "db", "mail", "ham1:web")
    assert (told.status, told.lines) == (1, ["ham1:mail reboot requested"])
    assert sorted(told.err.splitlines()) == [
        "mclu: ham0: db is not running; run 'start ham0:db'",
        "mclu: ham1: web is not running; run 'start ham1:web'",
    ]


def test_a_paused_guest_is_not_said_to_reboot(lab: RealLab) -> None:
    pause(lab)
    told = mclu(lab, "reboot", "db")
    remedy = "run 'start ham0:db' to resume it, or use --hard to reset it"
    assert (told.status, told.out, told.err) == (1, "", f"mclu: ham0: db is paused and cannot respond; {remedy}\n")
    assert mclu(lab, "reboot", "--hard", "db").out == "ham0:db reset\n"


def test_a_remedy_can_be_pasted_whatever_the_guest_is_called(lab: RealLab) -> None:
    name = "we $(id) b"
    define(lab, "ham0", name)
    told = mclu(lab, "reboot", f"ham0:{name}")
    assert (told.status, told.err) == (1, f"mclu: ham0: {name} is not running; run start 'ham0:{name}'\n")


# shutdown


def test_guests_that_listen_shut_down(lab: RealLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCLU_PATH", str(SHIPPED))
    assert [told.out for told in at_once(lab, "boot tiny ham0:tiny0", "boot tiny ham1:tiny1")] == [
        "ham0:tiny0 running\n",
        "ham1:tiny1 running\n",
    ]
    # They are asked while they start: it may take more than one time.
    told = mclu(lab, "shutdown", "tiny*", "--timeout", "60")
    assert (told.status, sorted(told.lines), told.err) == (0, ["ham0:tiny0 shut down", "ham1:tiny1 shut down"], "")
    assert states(lab, "ham0")["tiny0"] == states(lab, "ham1")["tiny1"] == "shut off"


@pytest.mark.parametrize("seconds", ["0", "500ms"])
def test_a_guest_that_does_not_listen(lab: RealLab, seconds: str) -> None:
    virsh(lab, "ham0", "start", "db")
    told = mclu(lab, "shutdown", "db", "--timeout", seconds)
    assert (told.status, told.out) == (1, "")
    shown = {"0": "0 s", "500ms": "0.5 s"}[seconds]
    assert told.err == f"mclu: ham0: db is still running after {shown}; use --force to stop it like pulling its plug\n"
    assert states(lab, "ham0")["db"] == "running"
    told = mclu(lab, "shutdown", "db", "--timeout", seconds, "--force")
    assert (told.status, told.out, told.err) == (0, "ham0:db stopped by force\n", "")
    assert states(lab, "ham0")["db"] == "shut off"


def test_a_paused_guest_does_not_listen_either(lab: RealLab) -> None:
    pause(lab)
    told = mclu(lab, "shutdown", "db", "--timeout", "60")
    remedy = "run 'start ham0:db' to resume it, or use --force to stop it like pulling its plug"
    assert (told.status, told.out, told.err) == (1, "", f"mclu: ham0: db is paused and cannot respond; {remedy}\n")
    assert states(lab, "ham0")["db"] == "paused"
    told = mclu(lab, "shutdown", "db", "--timeout", "0", "--force")
    assert (told.status, told.out, told.err) == (0, "ham0:db stopped by force\n", "")
    assert states(lab, "ham0")["db"] == "shut off"


@pytest.mark.slow  # libvirt itself gives up after 30 s.
def test_nor_does_one_that_hangs(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    sh(lab, "ham0", "pkill -STOP -f '[q]emu-system.*guest=db'")
    # Whoever asks first waits for it in vain.
    mclu(lab, "status", "ham0")
    told = mclu(lab, "shutdown", "db", "--timeout", "0", "--force")
    assert (told.status, told.out, told.err) == (0, "ham0:db stopped by force\n", "")
    assert states(lab, "ham0")["db"] == "shut off"


def test_guests_that_stop_for_another_reason_while_they_are_waited_for(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    # This one is forgotten when it stops.
    run_guest(lab, "ham1", "brief")
    with started(lab, "shutdown", "db", "brief", "--timeout", "60") as command:
        until(lambda: sessions(lab) == 2)
        for node, name in (("ham0", "db"), ("ham1", "brief")):
            virsh(lab, node, "destroy", name)
        out, err = command.communicate(timeout=30)
    assert (command.returncode, sorted(out.splitlines()), err) == (0, ["ham0:db shut down", "ham1:brief shut down"], "")


def sessions(lab: RealLab) -> int:
    """How many nodes' libvirt mclu is asking."""
    return len([path for path in sockets(lab) if path.stem in "01"])


STOPS = """
import os, threading
from pathlib import Path
from mclu_shell.cloud.open import open_cloud
from mclu_shell.cloud.guests.find import find_guest
from mclu_shell.cloud.guests.lifecycle import shutdown
from mclu_shell.config import load_config
from mclu_shell.errors import MCluError
node, guest = find_guest(open_cloud(load_config(Path(os.environ["MCLU_CONFIG"]))), "db")
stop = threading.Event()
stop.set()
try:
    print(shutdown(node, guest, 60, force=True, stop=stop))
except MCluError as error:
    print(error)
"""


def test_who_interrupts_the_waiting_does_not_pull_the_plug(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    with started(lab, "shutdown", "db", "--timeout", "60", "--force") as command:
        until(lambda: sessions(lab))
        send(command, "INT")
        out, err = command.communicate(timeout=5)
    assert (command.returncode, out, err) == (130, "", "")
    assert states(lab, "ham0")["db"] == "running"
    # In the interactive shell, whose threads go on.
    assert "stopped by force" not in python(lab, STOPS)
    assert states(lab, "ham0")["db"] == "running"


# Nodes and names


def test_a_name_on_two_nodes(lab: RealLab) -> None:
    start, shutdown, reboot = at_once(lab, "start web", "shutdown web", "reboot web")
    for told in (start, shutdown, reboot):
        assert (told.status, told.out) == (1, "")
        assert told.err == "mclu: web is on ham0 and ham1; specify the host: ham0:web\n"
    assert set(states(lab, "ham0").values()) == {"shut off"}


def test_nodes_that_cannot_be_asked(lab: RealLab) -> None:
    virsh(lab, "ham0", "start", "db")
    lab.freeze("ham1", libvirtd=True)
    try:
        every, off, named = at_once(lab, "reboot --hard *", "start ham3:web", "start ham1:mail")
    finally:
        lab.thaw("ham1", libvirtd=True)
    assert (every.status, every.out) == (1, "ham0:db reset\n")
    assert every.err.startswith("mclu: ham1: libvirtd not answering; ")
    assert (off.status, off.err) == (1, "mclu: ham3: is off; run 'on ham3'\n")
    assert (named.status, named.out) == (1, "")
    assert named.err.startswith("mclu: ham1: libvirtd not answering; ")


def test_a_node_that_dies_while_its_guest_shuts_down(lab: RealLab) -> None:
    virsh(lab, "ham1", "start", "mail")
    virsh(lab, "ham0", "start", "db")
    with started(lab, "shutdown", "mail", "db", "--timeout", "60") as command:
        until(lambda: sessions(lab) == 2)
        lab.off("ham1")
        virsh(lab, "ham0", "destroy", "db")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out) == (1, "ham0:db shut down\n")
    assert err == "mclu: ham1: is off; run 'on ham1'\n"


def test_what_was_done_is_known_to_tab_afterwards(lab: RealLab) -> None:
    # Of a name that no other test has had on a node that is off now.
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
