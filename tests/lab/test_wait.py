"""wait on real nodes and guests: consoles that stay usable by others, and nodes that fail during the wait."""

import contextlib
import subprocess
import time

import pytest

from tests.lab.support.cli import CUT_CONNECTIONS, background, count_logins, mclu, python, run_guest, virsh, wait_until
from tests.lab.support.echo_guest import EchoGuest, start_echo_guest
from tests.lab.support.guests import send_signal, sh
from tests.lab.support.lab import RealLab
from tests.lab.support.terminal import LEAVE, terminal_command

LOG = "/var/log/libvirt/qemu/web.serial"
LOGGED = f"<serial type='pty'><log file='{LOG}' append='off'/><target port='0'/></serial>"
_BANNER = """
from mclu_shell.cloud.open import open_cloud
from mclu_shell.cloud.guests.ssh_banner import fetch_banner
from mclu_shell.config import find_config, load_config

node = open_cloud(load_config(find_config(None))).nodes[0]
node.query(lambda client: client.ping())
print(fetch_banner(node, "{address}"))
"""


@pytest.fixture
def web(lab: RealLab) -> EchoGuest:
    """A guest on ham0 that echoes its console, with a log that contains its first prompt."""
    # libvirt creates the directory with the first guest.
    sh(lab, "ham0", "mkdir -p /var/log/libvirt/qemu")
    guest = start_echo_guest(lab, "ham0", "web", LOGGED)
    wait_until(lambda: "login: " in sh(lab, "ham0", f"cat {LOG}"))
    return guest


@pytest.fixture
def unlogged(lab: RealLab) -> EchoGuest:
    """A guest on ham0 that echoes its console, without a log."""
    return start_echo_guest(lab, "ham0", "web")


# console


def test_wait_console_finds_earlier_output_and_does_not_disturb_an_open_console(web: EchoGuest) -> None:
    with terminal_command(web.lab, "mclu", "console", "web") as console:
        console.expect("Connected to ham0:web")
        console.prompt()
        result = mclu(web.lab, "wait", "guest", "web", "console", "^log.n: $")
        assert (result.status, result.out, result.err) == (0, "ham0:web console: login:\n", "")
        console.prompt()
        console.type(LEAVE)
        assert console.end() == 0
    wait_until(lambda: readers(web.lab) == "")


def test_wait_console_ignores_the_output_of_earlier_runs(lab: RealLab) -> None:
    sh(lab, "ham0", f"mkdir -p /var/log/libvirt/qemu; echo old output >{LOG}")
    kept = LOGGED.replace("append='off'", "append='on'")
    guest = start_echo_guest(lab, "ham0", "web", kept)
    result = mclu(lab, "wait", "--timeout", "2", "guest", "web", "console", "old output")
    assert (result.status, result.out) == (1, "")
    assert "(earlier output was not logged)" in result.err
    # mclu's own start notes where the run begins.
    guest.virsh("destroy")
    virsh(lab, "ham0", "define", "/tmp/web.xml")
    assert mclu(lab, "start", "web").status == 0
    wait_until(lambda: sh(lab, "ham0", f"cat {LOG}").count("login: ") == 2)
    assert mclu(lab, "wait", "guest", "web", "console", "^log.n: $").status == 0
    result = mclu(lab, "wait", "--timeout", "2", "guest", "web", "console", "old output")
    assert (result.status, result.out) == (1, "")


def readers(lab: RealLab) -> str:
    """Return the processes that read a log on ham0."""
    return sh(lab, "ham0", "ps axww -o args= | grep -e '[m]clu-wait' -e '[t]ail -c' || true")


def test_wait_console_ignores_output_before_a_reboot(web: EchoGuest) -> None:
    # The guest ignores ACPI events, so it does not reboot.
    assert mclu(web.lab, "reboot", "web").status == 0
    result = mclu(web.lab, "wait", "guest", "web", "console", "login: ", "--timeout", "1")
    message = "web has not printed 'login: ' on its console after 1 s; no output so far"
    assert (result.status, result.err) == (1, f"mclu: ham0: {message}\n")
    web.virsh("reset")
    assert mclu(web.lab, "wait", "guest", "web", "console", "login: ").status == 0


def expect_hello(waiting: "subprocess.Popen[str]", web: EchoGuest) -> None:
    """Type hello on the console, and assert that `wait` reports it."""
    with terminal_command(web.lab, "mclu", "console", "web") as console:
        console.expect("Connected to ham0:web")
        console.prompt()
        console.type("hello")
        console.expect("hello")
        console.type(LEAVE)
        assert console.end() == 0
    out, err = waiting.communicate(timeout=15)
    assert (waiting.returncode, out, err) == (0, "ham0:web console: login: hello\n", "")


def test_wait_console_waits_for_output(web: EchoGuest) -> None:
    with background(web.lab, "wait", "guest", "web", "console", "hello$") as waiting:
        wait_until(lambda: readers(web.lab))
        expect_hello(waiting, web)


def test_wait_console_reconnects_after_a_lost_connection(web: EchoGuest) -> None:
    with background(web.lab, "wait", "guest", "web", "console", "hello$") as waiting:
        wait_until(lambda: readers(web.lab))
        before = count_logins(web.lab, "ham0")
        sh(web.lab, "ham0", CUT_CONNECTIONS)
        wait_until(lambda: count_logins(web.lab, "ham0") > before and readers(web.lab))
        expect_hello(waiting, web)


def test_wait_console_fails_when_the_guest_stops(web: EchoGuest) -> None:
    with background(web.lab, "wait", "guest", "web", "console", "never") as waiting:
        wait_until(lambda: readers(web.lab))
        web.virsh("destroy")
        out, err = waiting.communicate(timeout=15)
    message = "web is gone and never printed 'never' on its console; last line: 'login:'"
    assert (waiting.returncode, out, err) == (1, "", f"mclu: ham0: {message}\n")


def test_ctrl_c_ends_wait_console_and_leaves_nothing_on_the_node(web: EchoGuest) -> None:
    with background(web.lab, "wait", "guest", "web", "console", "never") as waiting:
        wait_until(lambda: readers(web.lab))
        send_signal(waiting, "INT")
        out, err = waiting.communicate(timeout=15)
    assert (waiting.returncode, out, err) == (130, "", "")
    wait_until(lambda: readers(web.lab) == "")


def test_wait_console_without_a_log_finds_only_new_output(unlogged: EchoGuest) -> None:
    result = mclu(unlogged.lab, "wait", "guest", "web", "console", "login: ", "--timeout", "1")
    assert result.status == 1
    assert "has not printed 'login: ' on its console (earlier output was not logged) after 1 s" in result.err
    with background(unlogged.lab, "wait", "guest", "web", "console", "login: ") as waiting:
        # QEMU checks once a second for a reader of the pseudo-terminal.
        wait_until(lambda: has_ended(waiting) or unlogged.virsh("reset") is None)
        out, err = waiting.communicate(timeout=15)
    assert (waiting.returncode, out, err) == (0, "ham0:web console: login:\n", "")


def has_ended(process: "subprocess.Popen[str]") -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)
    return process.returncode is not None


def test_wait_console_without_a_log_refuses_a_console_in_use(unlogged: EchoGuest) -> None:
    with terminal_command(unlogged.lab, "mclu", "console", "web") as console:
        console.expect("Connected to ham0:web")
        console.prompt()
        result = mclu(unlogged.lab, "wait", "guest", "web", "console", "login: ")
        result.assert_error("ham0", "the console of web is in use, and has no log to read instead")
        console.prompt()


# Nodes


def test_wait_node_waits_until_nodes_are_on_or_off(lab: RealLab) -> None:
    with background(lab, "wait", "node", "ham0", "ham1", "--timeout", "30s") as waiting:
        assert waiting.stdout
        assert waiting.stdout.readline() == "ham0 on\n"
        lab.on("ham1")
        assert waiting.stdout.readline() == "ham1 on\n"
        assert waiting.wait(15) == 0
    with background(lab, "wait", "node", "ham1", "ham2", "off", "--timeout", "30s") as waiting:
        assert waiting.stdout
        assert waiting.stdout.readline() == "ham2 off\n"
        lab.off("ham1")
        assert waiting.stdout.readline() == "ham1 off\n"
        assert waiting.wait(15) == 0


def test_a_frozen_node_does_not_delay_the_timeout_of_wait_node(lab: RealLab) -> None:
    lab.freeze("ham0")
    result = mclu(lab, "wait", "node", "ham0", "off", "--timeout", "1")
    assert (result.status, result.err) == (1, "mclu: ham0: not off after 1 s: no answer\n")
    # One request would take 4 s.
    assert result.seconds < 3.5


def test_wait_node_fails_at_once_for_an_unknown_host_key(lab: RealLab) -> None:
    lab.forget("ham0")
    mclu(lab, "wait", "node", "ham0").assert_error("ham0", "host key")


def test_wait_guest_reports_a_node_that_dies_and_waits_for_the_others(lab: RealLab) -> None:
    lab.power(on=["ham0", "ham1"])
    for node in ("ham0", "ham1"):
        run_guest(lab, node, "web")
    with background(lab, "-v", "wait", "guest", "*:web", "off") as waiting:
        assert waiting.stderr
        # mclu has found the guest, and polls it.
        assert any("ham1: libvirt state: " in line for line in waiting.stderr)
        lab.off("ham1")
        error = next(line for line in waiting.stderr if "debug" not in line)
        assert error == "mclu: ham1: is off, while waiting for web; run 'on ham1'\n"
        virsh(lab, "ham0", "destroy", "web")
        out, _ = waiting.communicate(timeout=15)
    assert (waiting.returncode, out) == (1, "ham0:web gone\n")


def test_wait_guest_reports_a_frozen_libvirtd_at_once(lab: RealLab) -> None:
    lab.power(on=["ham0", "ham1"])
    run_guest(lab, "ham0", "web")
    lab.freeze("ham1", libvirtd=True)
    with background(lab, "wait", "guest", "*:web", "off") as waiting:
        assert waiting.stderr
        assert waiting.stderr.readline().startswith("mclu: ham1: libvirtd not answering")
        assert waiting.poll() is None
        virsh(lab, "ham0", "destroy", "web")
        out, err = waiting.communicate(timeout=15)
    assert (waiting.returncode, out, err) == (1, "ham0:web gone\n", "")


@pytest.mark.parametrize(
    ("words", "call", "message"),
    [
        ("running", "state", "web is still paused"),
        ("ip", "addresses", "web has no known address"),
        ("ssh", "addresses", "web has no known address"),
        ("console never", "state", "web has not printed 'never' on its console"),
    ],
)
def test_a_node_that_freezes_does_not_delay_the_timeout_of_wait_guest(
    web: EchoGuest, words: str, call: str, message: str
) -> None:
    if words == "running":
        web.virsh("suspend")
    polls = 2 if words.startswith("console") else 1
    started_at = time.monotonic()
    with background(web.lab, "-v", "wait", "--timeout", "3", "guest", "web", *words.split()) as waiting:
        assert waiting.stderr
        for line in waiting.stderr:
            # Freeze the node right after this poll.
            polls -= f"ham0: libvirt {call}: " in line
            if f"ham0: libvirt {call}: " in line and polls == 0:
                web.lab.freeze("ham0")
        assert waiting.wait(15) == 1
        took_s = time.monotonic() - started_at
    assert line.startswith(f"mclu: ham0: {message} after 3 s (last known state, no answer since)"), line
    assert took_s < 5.5


def test_wait_guest_times_out_with_the_name_of_a_frozen_libvirtd(lab: RealLab) -> None:
    lab.freeze("ham0", libvirtd=True)
    try:
        result = mclu(lab, "wait", "--timeout", "6", "guest", "ham0:web", "off")
    finally:
        lab.thaw("ham0", libvirtd=True)
    assert result.status == 1
    result.assert_error("ham0", "libvirtd not answering, after waiting 6 s for ham0:web", "systemctl restart libvirtd")


def test_wait_guest_waits_for_a_named_node_that_is_off(lab: RealLab) -> None:
    with background(lab, "wait", "guest", "ham1:web", "running", "--timeout", "60s") as waiting:
        lab.on("ham1")
        out, err = waiting.communicate(timeout=30)
    # The node is on by now, and has no such guest.
    assert (waiting.returncode, out, err) == (1, "", "mclu: ham1: no such guest 'web'\n")


# Addresses


def test_an_ssh_banner_is_fetched_through_the_node(lab: RealLab) -> None:
    # Only the node itself can reach these addresses.
    assert python(lab, _BANNER.format(address="127.0.0.1")).startswith("SSH-2.0-OpenSSH")
    assert python(lab, _BANNER.format(address="127.0.0.2")).startswith("SSH-2.0-OpenSSH")
    # No host has this address.
    assert python(lab, _BANNER.format(address="192.0.2.1")) == "\n"
