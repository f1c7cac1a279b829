"""A shell that stays open while guests, nodes and connections change."""

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.support.cli import (
    CUT_CONNECTIONS,
    count_logins,
    describe_guest,
    mclu,
    python,
    run_guest,
    runtime_directories,
    virsh,
    wait_until,
)
from tests.lab.support.guests import sh, states
from tests.lab.support.lab import RealLab
from tests.shell.terminal import CTRL_C, CTRL_D, ENTER, TAB, Terminal

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])

Shells = Callable[[], Terminal]
# The interval between polls, the timeout of a request, and an attempt to reconnect.
NOTICED_S = 25.0


@pytest.fixture
def shell(lab: RealLab, shells: Shells) -> Terminal:
    """A shell that is connected to the nodes that are on."""
    shell = shells()
    shell.expect_toolbar("2 on  2 off  0 guests running")
    return shell


def newest(directories: list[Path]) -> Path:
    """Return the directory of the latest shell, because a killed one leaves its own."""
    return max(directories, key=lambda path: path.stat().st_mtime)


# Connections


def test_a_shell_and_its_one_shots_share_one_login_per_node(lab: RealLab, shells: Shells) -> None:
    before = [count_logins(lab, node) for node in ("ham0", "ham1")]
    shell = shells()
    shell.expect_toolbar("2 on  2 off")
    for line in ("status", "list --active", "status ham1"):
        shell.answer(line)
    assert mclu(lab, "status").lines[0] == "ham0 on"
    described = describe_guest(lab, "ham1", "web")
    virsh(lab, "ham1", "create", described)
    assert mclu(lab, "-c", "list --active; reboot --hard web").lines[-1] == "ham1:web reset"
    assert [count_logins(lab, node) for node in ("ham0", "ham1")] == [count + 1 for count in before]


def test_a_one_shot_changes_several_guests_over_one_connection(lab: RealLab, shell: Terminal) -> None:
    """They share one connection of the one-shot, beside that of the shell."""
    for name in ("a", "b", "c"):
        run_guest(lab, "ham0", name)
    before = count_logins(lab, "ham0")
    result = mclu(lab, "destroy", "ham0:*", "--yes")
    assert (result.status, result.err, sorted(result.lines)) == (
        0,
        "",
        ["ham0:a destroyed", "ham0:b destroyed", "ham0:c destroyed"],
    )
    assert count_logins(lab, "ham0") == before + 1
    assert shell.is_running


def test_a_one_shot_with_another_configuration_logs_in_itself(lab: RealLab, shell: Terminal, tmp_path: Path) -> None:
    before = count_logins(lab, "ham0")
    other = tmp_path / "other.conf"
    other.write_text("[nodes]\nham0 user=root\n")
    assert mclu(lab, "-f", str(other), "status").lines[0] == "ham0 on"
    assert count_logins(lab, "ham0") == before + 1


def test_a_one_shot_does_not_wait_for_a_stopped_or_killed_shell(lab: RealLab, shell: Terminal) -> None:
    directory = newest(runtime_directories(lab))
    before = count_logins(lab, "ham0")
    lab.run("pkill", "-STOP", "-f", "bin/mclu$")
    result = mclu(lab, "status", "ham0")
    assert (result.status, result.lines[0]) == (0, "ham0 on")
    assert count_logins(lab, "ham0") == before + 1
    lab.run("pkill", "-KILL", "-f", "bin/mclu$")
    # The process that entered the lab has stopped with the shell.
    os.kill(shell.pid, signal.SIGCONT)
    assert directory.exists()
    lab.run("touch", "-d", "@0", str(directory))
    assert mclu(lab, "status", "ham0").lines[0] == "ham0 on"
    assert directory not in runtime_directories(lab)


def test_sigterm_removes_the_runtime_directory_of_a_shell(lab: RealLab, shell: Terminal) -> None:
    directory = newest(runtime_directories(lab))
    lab.run("pkill", "-TERM", "-f", "bin/mclu$")
    wait_until(lambda: directory not in runtime_directories(lab))


# Changes by others


def test_a_shell_alerts_about_changes_by_others_and_keeps_the_typed_line(lab: RealLab, shell: Terminal) -> None:
    # A leading blank keeps the line out of the history, which would suggest the rest.
    shell.type(" help xyzzy")
    run_guest(lab, "ham0", "web")
    shell.expect_toolbar("1 guest running")
    virsh(lab, "ham0", "destroy", "web")
    shell.expect_toolbar("0 guests running")
    shell.expect(r"^ham0:web has stopped(?s:.*)^mclu>  help xyzzy\Z")
    shell.type("1" + ENTER)
    shell.expect("unknown command 'xyzzy1'")


def test_set_alerts_off_disables_alerts(lab: RealLab, shell: Terminal) -> None:
    shell.answer("set alerts off")
    run_guest(lab, "ham0", "web")
    shell.expect_toolbar("1 guest running")
    virsh(lab, "ham0", "destroy", "web")
    shell.expect_toolbar("0 guests running")
    assert "has stopped" not in shell.answer("status ham0")


def test_a_shell_does_not_alert_about_its_own_changes(lab: RealLab, shell: Terminal) -> None:
    run_guest(lab, "ham0", "web")
    shell.expect_toolbar("1 guest running")
    assert shell.answer("shutdown web --timeout 0 --force") == "ham0:web stopped by force\n"
    assert shell.answer("off ham1") == "ham1 off\n"
    shell.expect_toolbar("1 on  3 off  0 guests running")
    assert "has stopped" not in shell.screen
    assert "is off" not in shell.screen


def test_completion_follows_events(lab: RealLab, shell: Terminal) -> None:
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


def test_a_shell_follows_many_guests_that_start_and_stop(lab: RealLab, shell: Terminal) -> None:
    """Twenty guests start and stop while their events arrive."""
    description = describe_guest(lab, "ham0", "guest", memory_mib=16)
    make = f"sed s/guest/g$i/ {description} >/tmp/g$i.xml; virsh -q create /tmp/g$i.xml"
    sh(lab, "ham0", f"for i in $(seq 20); do ( {make} ) & done; wait")
    end = "for i in $(seq 2 20); do virsh -q destroy g$i & done; wait"
    sh(lab, "ham0", end)
    shell.expect_toolbar("1 guest running")
    assert states(lab, "ham0") == {"g1": "running"}
    assert [line.split()[0] for line in shell.answer("list --active").splitlines()[1:]] == ["ham0:g1"]


def test_a_new_shell_shows_cached_guests_of_a_frozen_node(lab: RealLab, shells: Shells) -> None:
    virsh(lab, "ham1", "define", describe_guest(lab, "ham1", "mailserver"))
    shell = shells()
    shell.expect_toolbar("2 on  2 off")
    shell.type(CTRL_D)
    assert shell.status() == 0
    caches = list((lab.path / "home/.cache/mclu").glob("*.json"))
    # There is one file for each configuration.
    assert {file.stat().st_mode & 0o777 for file in caches} == {0o600}
    # The node does not answer, so the guest can only come from the cache.
    lab.freeze("ham1")
    try:
        shell = shells()
        shell.type("start m" + TAB)
        shell.expect(r"^mclu> start mailserver")
        shell.type(CTRL_C)
        result = shell.answer("list --inactive")
        assert re.search(r"^ham1:mailserver +shut off .* ago$", result, re.MULTILINE), result
    finally:
        lab.thaw("ham1")


# Faults


def test_a_shell_reports_a_stopped_libvirtd_and_reconnects(lab: RealLab, shell: Terminal) -> None:
    sh(lab, "ham1", "pkill -x libvirtd; while pgrep -x libvirtd >/dev/null; do :; done")
    shell.expect(r"^ham1: libvirtd not running$", NOTICED_S)
    sh(lab, "ham1", "libvirtd --daemon")
    shell.expect(r"^ham1: is back", NOTICED_S)
    assert shell.answer("status ham1").startswith("ham1 on\n")


def test_a_shell_reports_a_frozen_libvirtd_and_reconnects(lab: RealLab, shell: Terminal) -> None:
    lab.freeze("ham1", libvirtd=True)
    try:
        result = shell.answer("status")
        assert re.match(r"ham0 on\n  total: .*\n  free: .*\nham1 on, libvirtd not answering\n  \d+ s ago:\n", result), (
            result
        )
        shell.expect_toolbar("ham1: libvirtd not answering")
    finally:
        lab.thaw("ham1", libvirtd=True)
    shell.expect(r"^ham1: is back", NOTICED_S)
    assert shell.answer("status ham1").startswith("ham1 on\n")


def test_a_shell_shows_a_node_whose_guest_hangs(lab: RealLab, shell: Terminal) -> None:
    """libvirt blocks the first request for the guest; later requests succeed, and can destroy it."""
    run_guest(lab, "ham0", "web")
    shell.expect_toolbar("1 guest running")
    sh(lab, "ham0", "pkill -STOP -f '[q]emu-system.*guest=web'")
    shell.answer("status ham0")
    wait_until(lambda: "\n  used:  1guests 1vcpus 64M " in shell.answer("status ham0"))
    shell.expect_toolbar("2 on  2 off  1 guest running")
    assert mclu(lab, "list", "--active").lines == ["ham0:web  running  64M  1vcpus"]
    virsh(lab, "ham0", "destroy", "web")


def test_a_shell_without_its_runtime_directory_reports_the_node_and_leaves_no_login(
    lab: RealLab, shell: Terminal
) -> None:
    """Some systems remove it at logout. No login is left open, and the other nodes answer."""
    directory = newest(runtime_directories(lab))
    before = count_logins(lab, "ham0")
    lab.run("rm", "-rf", str(directory))
    sh(lab, "ham0", CUT_CONNECTIONS)
    for _ in range(5):
        result = shell.answer("status")
        assert re.search(r"^ham0 on, cannot create a socket in ", result, re.MULTILINE), result
        assert re.search(r"^ham1 on\n  total", result, re.MULTILINE), result
    assert count_logins(lab, "ham0") == before + 1


def test_a_shell_that_was_stopped_shows_the_present_state_when_it_continues(lab: RealLab, shell: Terminal) -> None:
    """The shell is stopped, like a suspended laptop: it misses all events, and its connections may be dead."""
    lab.run("pkill", "-STOP", "-f", "bin/mclu$")
    run_guest(lab, "ham0", "web")
    lab.off("ham1")
    lab.on("ham1", "ham2")
    sh(lab, "ham0", CUT_CONNECTIONS)
    lab.run("pkill", "-CONT", "-f", "bin/mclu$")
    # The process that entered the lab has stopped with the shell.
    os.kill(shell.pid, signal.SIGCONT)
    result = shell.answer("status")
    assert re.match(r"ham0 on\n(  .*\n){3}ham1 on\n(  .*\n){2}ham2 on\n(  .*\n){2}ham3 off\n", result), result
    shell.expect_toolbar("3 on  1 off  1 guest running")


def test_a_shell_reports_a_frozen_node_and_reconnects(lab: RealLab, shell: Terminal) -> None:
    lab.freeze("ham1")
    try:
        shell.expect_toolbar("1 on  2 off  0 guests running  ham1: ssh: not answering", NOTICED_S)
        assert shell.answer("status ham0").startswith("ham0 on\n")
    finally:
        lab.thaw("ham1")
    shell.expect(r"^ham1: is back", NOTICED_S)
    assert shell.answer("status ham1").startswith("ham1 on\n")


def test_a_shell_reports_a_node_that_loses_power_and_returns(lab: RealLab, shell: Terminal) -> None:
    run_guest(lab, "ham1", "web")
    shell.expect_toolbar("1 guest running")
    lab.off("ham1")
    shell.expect(r"^ham1: is off$", NOTICED_S)
    shell.expect_toolbar("1 on  3 off  0 guests running")
    lab.on("ham1")
    shell.expect(r"^ham1:web has stopped and is gone\nham1: is back after ", NOTICED_S)
    assert shell.answer("list --active") == ""


def test_a_shell_reports_a_changed_host_key_and_reconnects(lab: RealLab, shell: Terminal) -> None:
    # The node is reinstalled, which ends its connections.
    lab.rekey("ham1")
    shell.expect(r"^ham1: ssh: Host key verification failed \(host key has CHANGED\)$", NOTICED_S)
    result = shell.answer("status ham1")
    assert result.startswith("ham1 on, ssh: Host key verification failed (host key has CHANGED)\n")
    lab.run("mclu", "status")
    lab.remember("ham1")
    assert shell.answer("status ham1").startswith("ham1 on\n")
    shell.expect_toolbar("2 on  2 off")


SLOW = """
import random, select, socket, sys, time
# Relays standard input and output to a node with a delay of 100 ms each way. Five percent of the chunks are lost and
# sent again after 400 ms; a lost chunk delays the following ones.
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


def test_a_shell_works_over_a_slow_line_that_loses_packets(
    lab: RealLab, shells: Shells, ssh_files: Path, tmp_path: Path
) -> None:
    relay = tmp_path / "relay.py"
    relay.write_text(SLOW)
    (ssh_files / "config").write_text(f"Host ham1\n  ProxyCommand {sys.executable} {relay} %h\n")
    shell = shells()
    shell.expect_toolbar("2 on  2 off", NOTICED_S)
    run_guest(lab, "ham1", "web")
    shell.expect_toolbar("1 guest running")
    expected = re.compile(r"ham0 on\n(  .*\n)+ham1 on\n(  .*\n)+ham2 off\nham3 off\n")
    for _ in range(3):
        assert expected.match(shell.answer("status"))
        # The one-shot queries through the shell; if that is slow, it connects to the node itself.
        assert expected.match(lab.run("mclu", "status").stdout)
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
def test_a_hundred_reconnects_leave_no_threads_and_descriptors(lab: RealLab) -> None:
    run_guest(lab, "ham0", "web")
    first, last, guests = json.loads(python(lab, RECONNECT, "50", CUT_CONNECTIONS))
    assert guests == [1, 0]
    for which in (0, 1):
        assert max(count[which] for count in last) <= max(count[which] for count in first) + 2, (first, last)


def test_a_watch_shows_events_at_once_while_another_node_is_silent(lab: RealLab, shell: Terminal) -> None:
    run_guest(lab, "ham0", "web")
    shell.expect_toolbar("1 guest running")
    # Only events are quicker than this interval.
    shell.type("list --active --watch 60" + ENTER)
    shell.expect(r"^ham0:web +running +64M +1\nq quits")
    lab.freeze("ham1")
    virsh(lab, "ham0", "suspend", "web")
    shell.expect(r"^ham0:web +paused +64M +1\nq quits")
    virsh(lab, "ham0", "destroy", "web")
    shell.expect(r"watch 60\nq quits")
    shell.type("q")
    shell.expect_prompt()
    lab.thaw("ham1")
