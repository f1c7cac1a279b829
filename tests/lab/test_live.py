"""A shell that stays open while everything changes: it knows, says little, and goes on."""

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.support.cli import CUT, describe_guest, left_behind, logins, mclu, python, run_guest, until, virsh
from tests.lab.support.guests import clean, sh, states
from tests.lab.support.lab import RealLab
from tests.shell.terminal import CTRL_C, CTRL_D, ENTER, TAB, Terminal

Shells = Callable[[], Terminal]
# A look at a node every 10 s, the time that a question may take, and an attempt to connect again.
NOTICED_S = 25.0


@pytest.fixture
def lab(lab4: RealLab) -> RealLab:
    """ham0 and ham1 are on and empty; ham2 and ham3 are off."""
    lab4.power(on=["ham0", "ham1"])
    clean(lab4, "ham0", "ham1")
    return lab4


@pytest.fixture
def shell(lab: RealLab, shells: Shells) -> Terminal:
    """A shell that has connected to the nodes that are on."""
    shell = shells()
    shell.expect_toolbar("2 on  2 off  0 guests running")
    return shell


def newest(directories: list[Path]) -> Path:
    """That of the shell which was started last: one that was killed has left its own."""
    return max(directories, key=lambda path: path.stat().st_mtime)


# Connections


def test_one_login_a_node_whatever_is_done_and_one_shots_use_it(lab: RealLab, shells: Shells) -> None:
    before = [logins(lab, node) for node in ("ham0", "ham1")]
    shell = shells()
    shell.expect_toolbar("2 on  2 off")
    for line in ("status", "list --active", "status ham1"):
        shell.answer(line)
    assert mclu(lab, "status").lines[0] == "ham0 on"
    described = describe_guest(lab, "ham1", "web")
    virsh(lab, "ham1", "create", described)
    assert mclu(lab, "-c", "list --active; reboot --hard web").lines[-1] == "ham1:web reset"
    assert [logins(lab, node) for node in ("ham0", "ham1")] == [count + 1 for count in before]


def test_a_one_shot_does_several_things_at_once_on_a_node(lab: RealLab, shell: Terminal) -> None:
    """All go over one connection of its own, beside that of the shell."""
    for name in ("a", "b", "c"):
        run_guest(lab, "ham0", name)
    before = logins(lab, "ham0")
    told = mclu(lab, "destroy", "ham0:*", "--yes")
    assert (told.status, told.err, sorted(told.lines)) == (
        0,
        "",
        ["ham0:a destroyed", "ham0:b destroyed", "ham0:c destroyed"],
    )
    assert logins(lab, "ham0") == before + 1
    assert shell.is_running


def test_another_configuration_has_connections_of_its_own(lab: RealLab, shell: Terminal, tmp_path: Path) -> None:
    before = logins(lab, "ham0")
    other = tmp_path / "other.conf"
    other.write_text("[nodes]\nham0 user=root\n")
    assert mclu(lab, "-f", str(other), "status").lines[0] == "ham0 on"
    assert logins(lab, "ham0") == before + 1


def test_a_shell_that_hangs_or_was_killed_is_not_waited_for(lab: RealLab, shell: Terminal) -> None:
    directory = newest(left_behind(lab))
    before = logins(lab, "ham0")
    lab.run("pkill", "-STOP", "-f", "bin/mclu$")
    told = mclu(lab, "status", "ham0")
    assert (told.status, told.lines[0]) == (0, "ham0 on")
    assert logins(lab, "ham0") == before + 1
    lab.run("pkill", "-KILL", "-f", "bin/mclu$")
    # What runs it in the lab has stopped with it.
    os.kill(shell.pid, signal.SIGCONT)
    assert directory.exists()
    lab.run("touch", "-d", "@0", str(directory))
    assert mclu(lab, "status", "ham0").lines[0] == "ham0 on"
    assert directory not in left_behind(lab)


def test_a_kill_removes_the_sockets(lab: RealLab, shell: Terminal) -> None:
    directory = newest(left_behind(lab))
    lab.run("pkill", "-TERM", "-f", "bin/mclu$")
    until(lambda: directory not in left_behind(lab))


# What others do


def test_what_others_do_is_known_and_told_without_disturbing_who_types(lab: RealLab, shell: Terminal) -> None:
    # With a blank in front it is in no history, which would suggest the rest.
    shell.type(" help xyzzy")
    run_guest(lab, "ham0", "web")
    shell.expect_toolbar("1 guest running")
    virsh(lab, "ham0", "destroy", "web")
    shell.expect_toolbar("0 guests running")
    shell.expect(r"^ham0:web has stopped(?s:.*)^mclu>  help xyzzy\Z")
    shell.type("1" + ENTER)
    shell.expect("unknown command 'xyzzy1'")


def test_alerts_can_be_switched_off(lab: RealLab, shell: Terminal) -> None:
    shell.answer("set alerts off")
    run_guest(lab, "ham0", "web")
    shell.expect_toolbar("1 guest running")
    virsh(lab, "ham0", "destroy", "web")
    shell.expect_toolbar("0 guests running")
    assert "has stopped" not in shell.answer("status ham0")


def test_what_this_shell_does_is_no_alert(lab: RealLab, shell: Terminal) -> None:
    run_guest(lab, "ham0", "web")
    shell.expect_toolbar("1 guest running")
    assert shell.answer("shutdown web --timeout 0 --force") == "ham0:web stopped by force\n"
    assert shell.answer("off ham1") == "ham1 off\n"
    shell.expect_toolbar("1 on  3 off  0 guests running")
    assert "has stopped" not in shell.screen
    assert "is off" not in shell.screen


def test_completion_knows_what_has_just_happened(lab: RealLab, shell: Terminal) -> None:
    virsh(lab, "ham0", "define", describe_guest(lab, "ham0", "mailserver"))
    virsh(lab, "ham1", "create", describe_guest(lab, "ham1", "webserver"))
    shell.expect_toolbar("1 guest running")
    shell.type("start m" + TAB)
    shell.expect(r"^mclu> start mailserver")
    shell.type(CTRL_C + "shutdown w" + TAB)
    shell.expect(r"^mclu> shutdown webserver")
    shell.type(CTRL_C + "on ham" + TAB)
    shell.expect("ham2(?s:.*)ham3")
    assert "ham1" not in shell.screen.rpartition("mclu> on")[2]
    shell.type(CTRL_C)


def test_many_guests_that_come_and_go(lab: RealLab, shell: Terminal) -> None:
    """Twenty guests are started and destroyed while their events come in; what is known in the end is right."""
    description = describe_guest(lab, "ham0", "guest", memory_mib=16)
    make = f"sed s/guest/g$i/ {description} >/tmp/g$i.xml; virsh -q create /tmp/g$i.xml"
    sh(lab, "ham0", f"for i in $(seq 20); do ( {make} ) & done; wait")
    end = "for i in $(seq 2 20); do virsh -q destroy g$i & done; wait"
    sh(lab, "ham0", end)
    shell.expect_toolbar("1 guest running")
    assert states(lab, "ham0") == {"g1": "running"}
    assert [line.split()[0] for line in shell.answer("list --active").splitlines()] == ["ham0:g1"]


def test_a_new_shell_knows_what_the_last_one_knew(lab: RealLab, shells: Shells) -> None:
    virsh(lab, "ham1", "define", describe_guest(lab, "ham1", "mailserver"))
    shell = shells()
    shell.expect_toolbar("2 on  2 off")
    shell.type(CTRL_D)
    assert shell.status() == 0
    kept = list((lab.path / "home/.cache/mclu").glob("*.json"))
    # One for each configuration that was used there.
    assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}
    # A node that is not there now: only memory can know of its guest.
    lab.freeze("ham1")
    try:
        shell = shells()
        shell.type("start m" + TAB)
        shell.expect(r"^mclu> start mailserver")
        shell.type(CTRL_C)
        told = shell.answer("list --inactive")
        assert re.search(r"^ham1:mailserver +shut off .* ago$", told, re.MULTILINE), told
    finally:
        lab.thaw("ham1")


# What goes wrong


def test_libvirtd_is_restarted(lab: RealLab, shell: Terminal) -> None:
    sh(lab, "ham1", "pkill -x libvirtd; while pgrep -x libvirtd >/dev/null; do :; done")
    shell.expect(r"^ham1: libvirtd not running$", NOTICED_S)
    sh(lab, "ham1", "libvirtd --daemon")
    shell.expect(r"^ham1: is back", NOTICED_S)
    assert shell.answer("status ham1").startswith("ham1 on\n")


def test_libvirtd_freezes(lab: RealLab, shell: Terminal) -> None:
    lab.freeze("ham1", libvirtd=True)
    try:
        told = shell.answer("status")
        assert re.match(r"ham0 on\n  total: .*\n  free: .*\nham1 on, libvirtd not answering\n  \d+ s ago:\n", told), (
            told
        )
        shell.expect_toolbar("ham1: libvirtd not answering")
    finally:
        lab.thaw("ham1", libvirtd=True)
    shell.expect(r"^ham1: is back", NOTICED_S)
    assert shell.answer("status ham1").startswith("ham1 on\n")


def test_a_guest_hangs(lab: RealLab, shell: Terminal) -> None:
    """Whoever asks first waits for it in vain; then its node is asked, as ever, and can be told to end it."""
    run_guest(lab, "ham0", "web")
    shell.expect_toolbar("1 guest running")
    sh(lab, "ham0", "pkill -STOP -f '[q]emu-system.*guest=web'")
    shell.answer("status ham0")
    until(lambda: shell.answer("status ham0").splitlines()[2:3] == ["  used:  1guests 1vcpus 64M"])
    shell.expect_toolbar("2 on  2 off  1 guest running")
    assert mclu(lab, "list", "--active").lines == ["ham0:web  running  64M  1vcpus"]
    virsh(lab, "ham0", "destroy", "web")


def test_the_directory_for_sockets_goes_away(lab: RealLab, shell: Terminal) -> None:
    """Some systems remove it when the user logs out. No login is left over, and the other nodes answer."""
    directory = newest(left_behind(lab))
    before = logins(lab, "ham0")
    lab.run("rm", "-rf", str(directory))
    sh(lab, "ham0", CUT)
    for _ in range(5):
        told = shell.answer("status")
        assert re.search(r"^ham0 on, no socket can be made in ", told, re.MULTILINE), told
        assert re.search(r"^ham1 on\n  total", told, re.MULTILINE), told
    assert logins(lab, "ham0") == before + 1


def test_what_happens_while_the_shell_sleeps(lab: RealLab, shell: Terminal) -> None:
    """As a laptop that is suspended: it has heard of nothing, and every connection may be dead."""
    lab.run("pkill", "-STOP", "-f", "bin/mclu$")
    run_guest(lab, "ham0", "web")
    lab.off("ham1")
    lab.on("ham1", "ham2")
    sh(lab, "ham0", CUT)
    lab.run("pkill", "-CONT", "-f", "bin/mclu$")
    # What runs it in the lab has stopped with it.
    os.kill(shell.pid, signal.SIGCONT)
    told = shell.answer("status")
    assert re.match(r"ham0 on\n(  .*\n){3}ham1 on\n(  .*\n){2}ham2 on\n(  .*\n){2}ham3 off\n", told), told
    shell.expect_toolbar("3 on  1 off  1 guest running")


def test_a_node_freezes(lab: RealLab, shell: Terminal) -> None:
    lab.freeze("ham1")
    try:
        shell.expect_toolbar("1 on  2 off  0 guests running  ham1: ssh: not answering", NOTICED_S)
        assert shell.answer("status ham0").startswith("ham0 on\n")
    finally:
        lab.thaw("ham1")
    shell.expect(r"^ham1: is back", NOTICED_S)
    assert shell.answer("status ham1").startswith("ham1 on\n")


def test_a_plug_is_pulled_and_the_node_comes_back(lab: RealLab, shell: Terminal) -> None:
    run_guest(lab, "ham1", "web")
    shell.expect_toolbar("1 guest running")
    lab.off("ham1")
    shell.expect(r"^ham1: is off$", NOTICED_S)
    shell.expect_toolbar("1 on  3 off  0 guests running")
    lab.on("ham1")
    shell.expect(r"^ham1:web has stopped and is gone\nham1: is back after ", NOTICED_S)
    assert shell.answer("list --active") == ""


def test_a_host_key_changes(lab: RealLab, shell: Terminal) -> None:
    # The node is installed anew: its connections end.
    lab.rekey("ham1")
    shell.expect(r"^ham1: ssh: host key has CHANGED$", NOTICED_S)
    told = shell.answer("status ham1")
    assert told.startswith("ham1 on, ssh: host key has CHANGED\n")
    lab.run("mclu", "status")
    lab.lab("remember", "ham1")
    assert shell.answer("status ham1").startswith("ham1 on\n")
    shell.expect_toolbar("2 on  2 off")


SLOW = """
import random, select, socket, sys, time
# Carries standard input and output to a node over a bad line: each piece takes 100 ms each way, and of a hundred five
# are lost and sent again. What was lost holds back what comes after it.
far = socket.create_connection((sys.argv[1], 22))
ways = {0: (1, []), far.fileno(): (far.fileno(), [])}
import os
queues = {0: [], far.fileno(): []}
targets = {0: far.fileno(), far.fileno(): 1}
while True:
    now = time.monotonic()
    due = [q[0][0] for q in queues.values() if q]
    ready, _, _ = select.select(list(queues), [], [], max(0.0, min(due) - now) if due else None)
    for source in ready:
        data = os.read(source, 65536)
        if not data:
            sys.exit()
        at = time.monotonic() + 0.1 + (0.4 if random.random() < 0.05 else 0.0)
        queue = queues[source]
        queue.append((max([at, *(entry[0] for entry in queue)]), data))
    for source, queue in queues.items():
        while queue and queue[0][0] <= time.monotonic():
            os.write(targets[source], queue.pop(0)[1])
"""


def test_a_line_of_200_ms_that_loses_packets(lab: RealLab, shells: Shells, ssh_files: Path, tmp_path: Path) -> None:
    relay = tmp_path / "relay.py"
    relay.write_text(SLOW)
    (ssh_files / "config").write_text(f"Host ham1\n  ProxyCommand {sys.executable} {relay} %h\n")
    shell = shells()
    shell.expect_toolbar("2 on  2 off", NOTICED_S)
    run_guest(lab, "ham1", "web")
    shell.expect_toolbar("1 guest running")
    right = re.compile(r"ham0 on\n(  .*\n)+ham1 on\n(  .*\n)+ham2 off\nham3 off\n")
    for _ in range(3):
        assert right.match(shell.answer("status"))
        # It asks the shell, and where that takes long, the node itself, which may take longer still.
        assert right.match(lab.run("mclu", "status").stdout)
    virsh(lab, "ham1", "destroy", "web")
    shell.expect_toolbar("0 guests running")
    assert "is back" not in shell.screen


RECONNECT = """
import json, os, subprocess, sys, threading, time
from pathlib import Path
from mclu_shell.cloud.open import open_cloud
from mclu_shell.config import load_config
from mclu_shell.cloud.state.snapshot import Phase
cloud = open_cloud(load_config(Path(os.environ["MCLU_CONFIG"])))
changed = threading.Condition()
def notify():
    with changed:
        changed.notify_all()
def until(question):
    with changed:
        deadline = time.monotonic() + 30
        while not question():
            assert changed.wait(deadline - time.monotonic()), cloud.snapshot
def count():
    return threading.active_count(), len(os.listdir("/proc/self/fd"))
cloud.supervise(notify, lambda words: None)
nodes = cloud.nodes[:2]
until(lambda: all(node.view.state.phase == Phase.ON for node in nodes))
counts = []
for turn in range(int(sys.argv[1])):
    since = [node.view.state.since_s for node in nodes]
    for node in nodes:
        subprocess.run(["ssh", "-o", "ControlPath=none", node.name, sys.argv[2]], capture_output=True)
    until(lambda: all(n.view.state.phase == Phase.ON and n.view.state.since_s > s for n, s in zip(nodes, since)))
    counts.append(count())
print(json.dumps([counts[4:9], counts[-5:], [len(node.fetch_guests()) for node in nodes]]))
"""


@pytest.mark.slow
def test_nothing_is_left_of_a_hundred_reconnects(lab: RealLab) -> None:
    run_guest(lab, "ham0", "web")
    first, last, guests = json.loads(python(lab, RECONNECT, "50", CUT))
    assert guests == [1, 0]
    for which in (0, 1):
        assert max(count[which] for count in last) <= max(count[which] for count in first) + 2, (first, last)
