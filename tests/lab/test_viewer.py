"""viewer on real guests: QEMU's VNC server through the SSH connection, with a stand-in for remote-viewer."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.support.cli import runtime_directories, virsh, wait_until
from tests.lab.support.echo_guest import EchoGuest, start_echo_guest
from tests.lab.support.lab import Completed, RealLab
from tests.lab.support.terminal import CTRL_C, ENTER, terminal_command
from tests.lab.support.viewer import install_viewer, mclu_with, viewed

BROKEN = "#!/bin/sh\necho starting >&2; echo cannot open display: >&2; exit 1\n"
KILLED = "#!/bin/sh\nkill -TERM $$\n"
VNC = "<graphics type='vnc' autoport='yes' listen='127.0.0.1'/>"
VNC_SOCKET = "<graphics type='vnc'><listen type='socket' socket='/tmp/web.vnc'/></graphics>"


@pytest.fixture
def web(lab: RealLab, request: pytest.FixtureRequest) -> EchoGuest:
    """A guest on ham0 with a screen, or with the devices of the parameter."""
    return start_echo_guest(lab, "ham0", "web", getattr(request, "param", VNC))


@pytest.fixture
def broken(web: EchoGuest) -> Iterator[str]:
    """The name of a guest that libvirt cannot start, because its disk is missing."""
    xml = re.sub("<uuid>.*</uuid>", "", web.virsh("dumpxml", "--inactive"))
    xml = xml.replace("<name>web", "<name>broken").replace("/tmp/web.img", "/no/such.img")
    web.lab.run("tee", "/tmp/broken.xml", node="ham0", input=xml)
    virsh(web.lab, "ham0", "define", "/tmp/broken.xml")
    yield "broken"
    virsh(web.lab, "ham0", "undefine", "broken")


def greeting(lab: RealLab, uri: str, uid: int = 0) -> str:
    """Return the first 12 bytes that a user receives at an address; empty if the connection is refused or closed."""
    port = uri.rpartition(":")[2]
    become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
    completed = lab.run(*become, "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port} && head -c 12 <&3")
    return completed.stdout


@pytest.mark.parametrize("web", [VNC, VNC_SOCKET], indirect=True, ids=["port", "socket"])
def test_viewer_shows_the_screen_and_waits_for_the_program(web: EchoGuest, programs: Path) -> None:
    install_viewer(programs)
    completed = web.lab.run("env", "HASTY=1", *mclu_with(programs, "viewer", "web"))
    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "", "")
    (line,) = viewed(web.lab)
    assert re.fullmatch(r"\d+ vnc://127\.0\.0\.1:\d+ QEMU \(web\) --title ham0:web --", line)
    assert runtime_directories(web.lab) == []
    assert greeting(web.lab, line.split()[1]) == ""


def test_viewer_at_the_prompt_runs_in_the_background(web: EchoGuest, broken: str, programs: Path) -> None:
    install_viewer(programs)
    with terminal_command(web.lab, *mclu_with(programs)) as shell:
        shell.expect("mclu>")
        shell.type("viewer web" + ENTER)
        wait_until(lambda: viewed(web.lab))
        pid, uri, *_ = viewed(web.lab)[0].split()
        # An error of libvirt at the same time does not affect the viewer.
        shell.type(f"start {broken}" + ENTER)
        shell.expect("mclu: ham0: broken: libvirt: ")
        shell.type("list --active" + ENTER)
        shell.expect("ham0:web  running")
        shell.expect("mclu>")
        assert web.lab.run("kill", "-0", pid).returncode == 0
        assert greeting(web.lab, uri) == "RFB 003.008\n"
        # The user closes the window.
        web.lab.run("kill", pid)
        wait_until(lambda: greeting(web.lab, uri) == "")
        shell.type("quit" + ENTER)
        assert shell.end() == 0


def test_ctrl_c_on_viewer_ends_the_program(web: EchoGuest, programs: Path) -> None:
    install_viewer(programs)
    with terminal_command(web.lab, *mclu_with(programs, "viewer", "web")) as command:
        wait_until(lambda: viewed(web.lab))
        pid = viewed(web.lab)[0].split()[0]
        command.type(CTRL_C)
        assert command.end() == 130
        assert web.lab.run("kill", "-0", pid).returncode != 0


def test_a_power_cut_ends_viewer(web: EchoGuest, programs: Path) -> None:
    install_viewer(programs)
    with terminal_command(web.lab, *mclu_with(programs, "viewer", "web")) as command:
        wait_until(lambda: viewed(web.lab))
        web.lab.off("ham0")
        assert command.end() == 1
        assert "mclu: ham0: is off; run 'on ham0'\r\n" in command.output


@pytest.mark.parametrize("words", [("viewer", "web"), ()], ids=["command", "prompt"])
def test_viewer_reports_a_program_that_fails(web: EchoGuest, programs: Path, words: tuple[str, ...]) -> None:
    install_viewer(programs, BROKEN)
    with terminal_command(web.lab, *mclu_with(programs, *words)) as command:
        if not words:
            command.expect("mclu>")
            command.type("viewer web" + ENTER)
        command.expect(
            f"mclu: ham0: {programs}/remote-viewer: cannot open display:; "
            "run 'viewer --print ham0:web' to get the address for another viewer\r\n"
        )
        if not words:
            command.expect("mclu>")
            command.type("quit" + ENTER)
        assert command.end() == 1


def test_viewer_reports_a_program_that_is_killed(web: EchoGuest, programs: Path) -> None:
    install_viewer(programs, KILLED)
    assert_error(
        web.lab.run(*mclu_with(programs, "viewer", "web")), f"ham0: {programs}/remote-viewer: killed by SIGTERM; "
    )


def test_viewer_names_the_package_to_install(web: EchoGuest, programs: Path) -> None:
    completed = web.lab.run(*mclu_with(programs, "viewer", "web"))
    assert completed.returncode == 1
    assert completed.stderr == (
        "mclu: remote-viewer is not installed; install the package virt-viewer, "
        "or run 'viewer --print ham0:web' to get the address for another viewer\n"
    )


def test_viewer_print_serves_only_this_user_until_it_ends(web: EchoGuest, programs: Path) -> None:
    with terminal_command(web.lab, *mclu_with(programs, "viewer", "--print", "web")) as command:
        match = command.expect_match(r"(vnc://127\.0\.0\.1:\d+)\r\nCtrl-C closes it\.\r\n")
        uri = match[1]
        assert greeting(web.lab, uri) == "RFB 003.008\n"
        assert greeting(web.lab, uri, uid=1000) == ""
        assert greeting(web.lab, uri) == "RFB 003.008\n"
        command.type(CTRL_C)
        assert command.end() == 130
        assert greeting(web.lab, uri) == ""


def test_viewer_print_writes_its_json_line_at_once(web: EchoGuest, programs: Path) -> None:
    with terminal_command(web.lab, *mclu_with(programs, "-o", "json", "viewer", "--print", "web")) as command:
        match = command.expect_match(r'({"kind": "screen".*})\r\nCtrl-C closes it\.\r\n')
        screen = json.loads(match[1])
        assert (screen["node"], screen["guest"]) == ("ham0", "web")
        assert greeting(web.lab, screen["uri"]) == "RFB 003.008\n"
        command.type(CTRL_C)
        command.expect_match('"error": "interrupted"')
        assert command.end() == 130
        assert greeting(web.lab, screen["uri"]) == ""


def test_viewer_print_at_the_prompt_serves_until_the_shell_ends(web: EchoGuest, programs: Path) -> None:
    with terminal_command(web.lab, *mclu_with(programs)) as shell:
        shell.expect("mclu>")
        shell.type("viewer --print web" + ENTER)
        match = shell.expect_match(r"(vnc://127\.0\.0\.1:\d+)\r\n")
        uri = match[1]
        shell.type("list --active" + ENTER)
        shell.expect("ham0:web  running")
        assert greeting(web.lab, uri) == "RFB 003.008\n"
        shell.type("quit" + ENTER)
        assert shell.end() == 0
        assert greeting(web.lab, uri) == ""


@pytest.mark.parametrize("web", [""], indirect=True)
def test_viewer_reports_a_guest_without_graphics(web: EchoGuest, programs: Path) -> None:
    assert_error(web.lab.run(*mclu_with(programs, "viewer", "web")), "ham0: web has no graphics; ")


def test_viewer_reports_an_sshd_that_forbids_forwarding(web: EchoGuest, programs: Path) -> None:
    script = """
        (echo AllowTcpForwarding no; cat /etc/ssh/sshd_config) >/tmp/sshd_config
        mount --bind /tmp/sshd_config /etc/ssh/sshd_config
        read -r pid </run/sshd.pid; kill $pid; tail --pid=$pid -f /dev/null
        /usr/sbin/sshd -E /var/log/sshd"""
    web.lab.run("sh", "-c", script, node="ham0")
    web.lab.wait("on", "ham0")
    completed = web.lab.run(*mclu_with(programs, "viewer", "--print", "ham0:web"))
    web.lab.off("ham0")
    # This option also disables forwarding to sockets.
    assert_error(completed, "ham0: ssh: sshd does not forward sockets; set ")
    assert "'AllowTcpForwarding yes'" in completed.stderr


def assert_error(completed: Completed, message: str) -> None:
    """Assert that a command failed with one line that begins with this message."""
    assert (completed.returncode, completed.stdout) == (1, "")
    assert completed.stderr.startswith(f"mclu: {message}")
    assert completed.stderr.count("\n") == 1
