"""wait on real nodes and guests: consoles that are read without disturbing anybody, nodes that die meanwhile."""

import contextlib
import signal
import subprocess
import time

import pytest

from tests.lab.support.cli import CUT, end_guests, logins, mclu, python, run_guest, started, until, virsh
from tests.lab.support.echo_guest import EchoGuest, start_echo_guest
from tests.lab.support.guests import send, sh
from tests.lab.support.lab import RealLab
from tests.lab.support.terminal import typed

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
def web(cloud: RealLab) -> EchoGuest:
    """A guest on ham0 that says what is typed on its console, which is logged; its prompt has been there for long."""
    end_guests(cloud, "ham0")
    # Where no guest has run yet, libvirt has made no directory for logs.
    sh(cloud, "ham0", "mkdir -p /var/log/libvirt/qemu")
    guest = start_echo_guest(cloud, "ham0", "web", LOGGED)
    until(lambda: "login: " in sh(cloud, "ham0", f"cat {LOG}"))
    return guest


@pytest.fixture
def unlogged(cloud: RealLab) -> EchoGuest:
    """Such a guest, of whose console no log is kept."""
    end_guests(cloud, "ham0")
    return start_echo_guest(cloud, "ham0", "web")


# console


def test_what_was_written_before_counts_and_whoever_has_the_console_keeps_it(web: EchoGuest) -> None:
    with typed(web.lab, "mclu", "console", "web") as console:
        console.expect("Connected to ham0:web")
        console.prompt()
        told = mclu(web.lab, "wait", "guest", "web", "console", "^log.n: $")
        assert (told.status, told.out, told.err) == (0, "ham0:web console: login:\n", "")
        console.prompt()
        console.type("\x1d")
        assert console.end() == 0
    until(lambda: readers(web.lab) == "")


def readers(lab: RealLab) -> str:
    """Return what reads a log on ham0."""
    return sh(lab, "ham0", "ps axww -o args= | grep -e '[m]clu-wait' -e '[t]ail -c' || true")


def test_what_was_written_before_a_reboot_does_not_count(web: EchoGuest) -> None:
    # The guest does not listen, so that nothing comes of it.
    assert mclu(web.lab, "reboot", "web").status == 0
    told = mclu(web.lab, "wait", "guest", "web", "console", "login: ", "--timeout", "1")
    complaint = "web has not written 'login: ' on its console after 1 s; nothing is written there"
    assert (told.status, told.err) == (1, f"mclu: ham0: {complaint}\n")
    web.virsh("reset")
    assert mclu(web.lab, "wait", "guest", "web", "console", "login: ").status == 0


def hears_hello(waiting: "subprocess.Popen[str]", web: EchoGuest) -> None:
    """Have the guest say hello, for which it is waited."""
    with typed(web.lab, "mclu", "console", "web") as console:
        console.expect("Connected to ham0:web")
        console.prompt()
        console.type("hello")
        console.expect("hello")
        console.type("\x1d")
        assert console.end() == 0
    out, err = waiting.communicate(timeout=15)
    assert (waiting.returncode, out, err) == (0, "ham0:web console: login: hello\n", "")


def test_what_is_yet_to_come_is_waited_for(web: EchoGuest) -> None:
    with started(web.lab, "wait", "guest", "web", "console", "hello$") as waiting:
        until(lambda: readers(web.lab))
        hears_hello(waiting, web)


def test_a_connection_that_is_lost_meanwhile_is_made_again(web: EchoGuest) -> None:
    with started(web.lab, "wait", "guest", "web", "console", "hello$") as waiting:
        until(lambda: readers(web.lab))
        before = logins(web.lab, "ham0")
        sh(web.lab, "ham0", CUT)
        until(lambda: logins(web.lab, "ham0") > before and readers(web.lab))
        hears_hello(waiting, web)


def test_a_guest_that_stops_says_nothing_more(web: EchoGuest) -> None:
    with started(web.lab, "wait", "guest", "web", "console", "never") as waiting:
        until(lambda: readers(web.lab))
        web.virsh("destroy")
        out, err = waiting.communicate(timeout=15)
    complaint = "web has gone, and did not write 'never' on its console; its last line there is 'login:'"
    assert (waiting.returncode, out, err) == (1, "", f"mclu: ham0: {complaint}\n")


def test_ctrl_c_ends_it_at_once_and_leaves_nothing_on_the_node(web: EchoGuest) -> None:
    with started(web.lab, "wait", "guest", "web", "console", "never") as waiting:
        until(lambda: readers(web.lab))
        send(waiting, signal.SIGINT.name.removeprefix("SIG"))
        out, err = waiting.communicate(timeout=15)
    assert (waiting.returncode, out, err) == (130, "", "")
    until(lambda: readers(web.lab) == "")


def test_without_a_log_only_what_is_written_from_now_on_counts(unlogged: EchoGuest) -> None:
    told = mclu(unlogged.lab, "wait", "guest", "web", "console", "login: ", "--timeout", "1")
    assert told.status == 1
    assert "has not written 'login: ' on its console (what it wrote before that is not kept) after 1 s" in told.err
    with started(unlogged.lab, "wait", "guest", "web", "console", "login: ") as waiting:
        # QEMU looks once a second whether anybody listens.
        until(lambda: ends(waiting) or unlogged.virsh("reset") is None)
        out, err = waiting.communicate(timeout=15)
    assert (waiting.returncode, out, err) == (0, "ham0:web console: login:\n", "")


def ends(process: "subprocess.Popen[str]") -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)
    return process.returncode is not None


def test_without_a_log_whoever_has_the_console_keeps_it(unlogged: EchoGuest) -> None:
    with typed(unlogged.lab, "mclu", "console", "web") as console:
        console.expect("Connected to ham0:web")
        console.prompt()
        told = mclu(unlogged.lab, "wait", "guest", "web", "console", "login: ")
        told.complains("ham0", "somebody has the console of web, and no log of it is kept")
        console.prompt()


# Nodes


def test_a_node_is_waited_for_until_it_is_on_and_until_it_is_off(cloud: RealLab) -> None:
    with started(cloud, "wait", "node", "ham0", "ham1", "--timeout", "30s") as waiting:
        assert waiting.stdout
        assert waiting.stdout.readline() == "ham0 on\n"
        cloud.on("ham1")
        assert waiting.stdout.readline() == "ham1 on\n"
        assert waiting.wait(15) == 0
    with started(cloud, "wait", "node", "ham1", "ham2", "off", "--timeout", "30s") as waiting:
        assert waiting.stdout
        assert waiting.stdout.readline() == "ham2 off\n"
        cloud.off("ham1")
        assert waiting.stdout.readline() == "ham1 off\n"
        assert waiting.wait(15) == 0


def test_a_node_that_hangs_puts_off_no_limit(cloud: RealLab) -> None:
    cloud.freeze("ham0")
    told = mclu(cloud, "wait", "node", "ham0", "off", "--timeout", "1")
    assert (told.status, told.err) == (1, "mclu: ham0: not off after 1 s: no answer\n")
    # Each look would have taken 4 s.
    assert told.seconds < 3.5


def test_a_node_that_only_a_person_can_mend_is_not_waited_for(cloud: RealLab) -> None:
    cloud.forget("ham0")
    mclu(cloud, "wait", "node", "ham0").complains("ham0", "host key")


def test_a_node_that_dies_is_named_and_holds_no_other_back(cloud: RealLab) -> None:
    cloud.power(on=["ham0", "ham1"])
    for node in ("ham0", "ham1"):
        run_guest(cloud, node, "web")
    with started(cloud, "-v", "wait", "guest", "*:web", "off") as waiting:
        assert waiting.stderr
        # It has been found, and is looked at.
        assert any("ham1: libvirt state: " in line for line in waiting.stderr)
        cloud.off("ham1")
        told = next(line for line in waiting.stderr if "debug" not in line)
        assert told == "mclu: ham1: is off, while web was waited for; run 'on ham1'\n"
        virsh(cloud, "ham0", "destroy", "web")
        out, _ = waiting.communicate(timeout=15)
    assert (waiting.returncode, out) == (1, "ham0:web gone\n")


def test_a_node_that_cannot_be_looked_at_is_named_at_once(cloud: RealLab) -> None:
    cloud.power(on=["ham0", "ham1"])
    run_guest(cloud, "ham0", "web")
    cloud.freeze("ham1", libvirtd=True)
    with started(cloud, "wait", "guest", "*:web", "off") as waiting:
        assert waiting.stderr
        assert waiting.stderr.readline().startswith("mclu: ham1: libvirtd not answering")
        assert waiting.poll() is None
        virsh(cloud, "ham0", "destroy", "web")
        out, err = waiting.communicate(timeout=15)
    assert (waiting.returncode, out, err) == (1, "ham0:web gone\n", "")


@pytest.mark.parametrize(
    ("words", "asked", "told"),
    [
        ("running", "state", "web is still paused"),
        ("ip", "interfaceAddresses", "web has no address that is known"),
        ("ssh", "interfaceAddresses", "web has no address that is known"),
        ("console never", "state", "web has not written 'never' on its console"),
    ],
)
def test_a_node_that_freezes_puts_off_no_limit(web: EchoGuest, words: str, asked: str, told: str) -> None:
    if words == "running":
        web.virsh("suspend")
    looks = 2 if words.startswith("console") else 1
    started_at = time.monotonic()
    with started(web.lab, "-v", "wait", "--timeout", "3", "guest", "web", *words.split()) as waiting:
        assert waiting.stderr
        for line in waiting.stderr:
            # The look that was seen to end is the last.
            looks -= f"ham0: libvirt {asked}: " in line
            if f"ham0: libvirt {asked}: " in line and looks == 0:
                web.lab.freeze("ham0")
        assert waiting.wait(15) == 1
        took_s = time.monotonic() - started_at
    assert line.startswith(f"mclu: ham0: {told} after 3 s, as last seen: no answer since"), line
    assert took_s < 5.5


def test_libvirtd_that_hangs_from_the_start_is_named(cloud: RealLab) -> None:
    cloud.freeze("ham0", libvirtd=True)
    try:
        told = mclu(cloud, "wait", "--timeout", "6", "guest", "ham0:web", "off")
    finally:
        cloud.thaw("ham0", libvirtd=True)
    assert told.status == 1
    told.complains("ham0", "libvirtd not answering, and ham0:web was waited for 6 s", "systemctl restart libvirtd")


def test_a_guest_of_a_node_that_is_still_off_is_waited_for_if_the_node_is_named(cloud: RealLab) -> None:
    with started(cloud, "wait", "guest", "ham1:web", "running", "--timeout", "60s") as waiting:
        cloud.on("ham1")
        out, err = waiting.communicate(timeout=30)
    # It is there by now, and has no such guest.
    assert (waiting.returncode, out, err) == (1, "", "mclu: ham1: no such guest 'web'\n")


# Addresses


def test_an_sshd_is_heard_from_its_node(cloud: RealLab) -> None:
    # What only the node itself can reach.
    assert python(cloud, _BANNER.format(address="127.0.0.1")).startswith("SSH-2.0-OpenSSH")
    assert python(cloud, _BANNER.format(address="127.0.0.2")).startswith("SSH-2.0-OpenSSH")
    # Nobody is there, or nobody says anything.
    assert python(cloud, _BANNER.format(address="192.0.2.1")) == "\n"
