"""viewer on real guests: QEMU's VNC server, through the SSH connection. The viewer itself is a stand-in: it speaks
VNC (RFC 6143), but has no window."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MCLU
from tests.lab.support.cli import end_guests, left_behind, until, virsh
from tests.lab.support.echo_guest import EchoGuest, start_echo_guest
from tests.lab.support.lab import Done, RealLab
from tests.lab.support.terminal import CTRL_C, ENTER, typed

# Shakes hands, says of whom it is the screen, and stays until the screen goes.
VIEWER = f"""#!{sys.executable}
import os, socket, sys
from urllib.parse import urlsplit

*words, uri = sys.argv[1:]
address = urlsplit(uri)
screen = socket.create_connection((address.hostname, address.port))
stream = screen.makefile("rwb", buffering=0)

def read(count):
    return stream.read(count) or sys.exit(f"turned away from {{uri}}")

stream.write(read(12))          # The version: RFB 003.008.
assert 1 in read(read(1)[0])    # Security types: 1 is none.
stream.write(bytes([1]))
assert read(4) == bytes(4)
stream.write(bytes([1]))        # Others may watch, too.
name = read(24)[-1]
with open(os.environ["HOME"] + "/viewed", "a") as file:
    print(os.getpid(), uri, read(name).decode(), *words, file=file)
if not os.environ.get("HASTY"):
    stream.read(1)
"""
BROKEN = "#!/bin/sh\necho starting >&2; echo cannot open display: >&2; exit 1\n"
KILLED = "#!/bin/sh\nkill -TERM $$\n"
VNC = "<graphics type='vnc' autoport='yes' listen='127.0.0.1'/>"
VNC_SOCKET = "<graphics type='vnc'><listen type='socket' socket='/tmp/web.vnc'/></graphics>"


@pytest.fixture
def web(cloud: RealLab, request: pytest.FixtureRequest) -> EchoGuest:
    """A guest on ham0 with a screen, or with the devices of the parameter."""
    end_guests(cloud, "ham0")
    (cloud.path / "home/viewed").unlink(missing_ok=True)
    return start_echo_guest(cloud, "ham0", "web", getattr(request, "param", VNC))


@pytest.fixture
def broken(web: EchoGuest) -> Iterator[str]:
    """A guest that libvirt cannot start: its disk is not there."""
    xml = re.sub("<uuid>.*</uuid>", "", web.virsh("dumpxml", "--inactive"))
    xml = xml.replace("<name>web", "<name>broken").replace("/tmp/web.img", "/no/such.img")
    web.lab.run("tee", "/tmp/broken.xml", node="ham0", input=xml)
    virsh(web.lab, "ham0", "define", "/tmp/broken.xml")
    yield "broken"
    virsh(web.lab, "ham0", "undefine", "broken")


@pytest.fixture
def programs(cloud: RealLab) -> Iterator[Path]:
    """A directory with all programs that mclu finds; no viewer is among them."""
    directory = cloud.path / "home/programs"
    directory.mkdir()
    ssh = shutil.which("ssh")
    assert ssh
    (directory / "ssh").symlink_to(ssh)
    (directory / "mclu").symlink_to(MCLU)
    yield directory
    shutil.rmtree(directory)


def install(programs: Path, text: str = VIEWER) -> None:
    """Install a viewer."""
    file = programs / "remote-viewer"
    file.write_text(text)
    file.chmod(0o755)


def mclu(programs: Path, *words: str) -> tuple[str, ...]:
    """The words that run mclu where it finds only these programs."""
    return ("env", f"PATH={programs}", "mclu", *words)


def viewed(lab: RealLab) -> list[str]:
    """What the viewer has written of the screens that it has seen."""
    file = lab.path / "home/viewed"
    return file.read_text().splitlines() if file.exists() else []


def greeting(lab: RealLab, uri: str, uid: int = 0) -> str:
    """What a program of some user is told at an address; nothing where nobody listens, or it is turned away."""
    port = uri.rpartition(":")[2]
    become = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--"]
    done = lab.run(*become, "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port} && head -c 12 <&3")
    return done.stdout


@pytest.mark.parametrize("web", [VNC, VNC_SOCKET], indirect=True, ids=["port", "socket"])
def test_a_viewer_sees_the_screen_and_is_waited_for(web: EchoGuest, programs: Path) -> None:
    install(programs)
    done = web.lab.run("env", "HASTY=1", *mclu(programs, "viewer", "web"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (line,) = viewed(web.lab)
    assert re.fullmatch(r"\d+ vnc://127\.0\.0\.1:\d+ QEMU \(web\) --title ham0:web --", line)
    assert left_behind(web.lab) == []
    assert greeting(web.lab, line.split()[1]) == ""


def test_a_viewer_does_not_keep_the_prompt(web: EchoGuest, broken: str, programs: Path) -> None:
    install(programs)
    with typed(web.lab, *mclu(programs)) as shell:
        shell.expect("mclu>")
        shell.type("viewer web" + ENTER)
        until(lambda: viewed(web.lab))
        pid, uri, *_ = viewed(web.lab)[0].split()
        # What libvirt refuses meanwhile is nobody else's trouble.
        shell.type(f"start {broken}" + ENTER)
        shell.expect("mclu: ham0: libvirt: ")
        shell.type("list --active" + ENTER)
        shell.expect("ham0:web  running")
        shell.expect("mclu>")
        assert web.lab.run("kill", "-0", pid).returncode == 0
        assert greeting(web.lab, uri) == "RFB 003.008\n"
        # The user closes its window.
        web.lab.run("kill", pid)
        until(lambda: greeting(web.lab, uri) == "")
        shell.type("quit" + ENTER)
        assert shell.end() == 0


def test_a_viewer_ends_with_the_command_that_waits_for_it(web: EchoGuest, programs: Path) -> None:
    install(programs)
    with typed(web.lab, *mclu(programs, "viewer", "web")) as command:
        until(lambda: viewed(web.lab))
        pid = viewed(web.lab)[0].split()[0]
        command.type(CTRL_C)
        assert command.end() == 130
        assert web.lab.run("kill", "-0", pid).returncode != 0


def test_a_pulled_plug_ends_it(web: EchoGuest, programs: Path) -> None:
    install(programs)
    with typed(web.lab, *mclu(programs, "viewer", "web")) as command:
        until(lambda: viewed(web.lab))
        web.lab.off("ham0")
        assert command.end() == 1
        assert "mclu: ham0: is off; run 'on ham0'\r\n" in command.said


@pytest.mark.parametrize("words", [("viewer", "web"), ()], ids=["command", "prompt"])
def test_a_viewer_that_fails_is_told(web: EchoGuest, programs: Path, words: tuple[str, ...]) -> None:
    install(programs, BROKEN)
    with typed(web.lab, *mclu(programs, *words)) as command:
        if not words:
            command.expect("mclu>")
            command.type("viewer web" + ENTER)
        command.expect(
            f"mclu: ham0: {programs}/remote-viewer: cannot open display:; "
            "'viewer --print ham0:web' gives its address to another one\r\n"
        )
        if not words:
            command.expect("mclu>")
            command.type("quit" + ENTER)
        assert command.end() == 1


def test_a_viewer_that_is_killed_is_told(web: EchoGuest, programs: Path) -> None:
    install(programs, KILLED)
    told(web.lab.run(*mclu(programs, "viewer", "web")), f"ham0: {programs}/remote-viewer: killed by SIGTERM; ")


def test_without_a_viewer_the_package_to_install_is_told(web: EchoGuest, programs: Path) -> None:
    done = web.lab.run(*mclu(programs, "viewer", "web"))
    assert done.returncode == 1
    assert done.stderr == (
        "mclu: remote-viewer is not installed; install the package virt-viewer, or have the address for another "
        "viewer: 'viewer --print ham0:web'\n"
    )


def test_the_address_is_good_for_this_user_until_the_command_ends(web: EchoGuest, programs: Path) -> None:
    with typed(web.lab, *mclu(programs, "viewer", "--print", "web")) as command:
        command.program.expect(r"(vnc://127\.0\.0\.1:\d+)\r\nCtrl-C closes it\.\r\n")
        assert command.program.match
        uri = command.program.match[1]
        assert greeting(web.lab, uri) == "RFB 003.008\n"
        assert greeting(web.lab, uri, uid=1000) == ""
        assert greeting(web.lab, uri) == "RFB 003.008\n"
        command.type(CTRL_C)
        assert command.end() == 130
        assert greeting(web.lab, uri) == ""


def test_a_program_is_told_the_address_at_once(web: EchoGuest, programs: Path) -> None:
    with typed(web.lab, *mclu(programs, "-o", "json", "viewer", "--print", "web")) as command:
        command.program.expect(r'({"kind": "screen".*})\r\nCtrl-C closes it\.\r\n')
        assert command.program.match
        screen = json.loads(command.program.match[1])
        assert (screen["node"], screen["guest"]) == ("ham0", "web")
        assert greeting(web.lab, screen["uri"]) == "RFB 003.008\n"
        command.type(CTRL_C)
        command.program.expect('"error": "interrupted"')
        assert command.end() == 130
        assert greeting(web.lab, screen["uri"]) == ""


def test_at_the_prompt_the_address_is_good_until_the_user_leaves(web: EchoGuest, programs: Path) -> None:
    with typed(web.lab, *mclu(programs)) as shell:
        shell.expect("mclu>")
        shell.type("viewer --print web" + ENTER)
        shell.program.expect(r"(vnc://127\.0\.0\.1:\d+)\r\n")
        assert shell.program.match
        uri = shell.program.match[1]
        shell.type("list --active" + ENTER)
        shell.expect("ham0:web  running")
        assert greeting(web.lab, uri) == "RFB 003.008\n"
        shell.type("quit" + ENTER)
        assert shell.end() == 0
        assert greeting(web.lab, uri) == ""


@pytest.mark.parametrize("web", [""], indirect=True)
def test_a_guest_without_a_screen_is_told(web: EchoGuest, programs: Path) -> None:
    told(web.lab.run(*mclu(programs, "viewer", "web")), "ham0: web has no graphics; ")


def test_an_sshd_that_forwards_no_ports_is_told(web: EchoGuest, programs: Path) -> None:
    script = """
        (echo AllowTcpForwarding no; cat /etc/ssh/sshd_config) >/tmp/sshd_config
        mount --bind /tmp/sshd_config /etc/ssh/sshd_config
        read -r pid </run/sshd.pid; kill $pid; tail --pid=$pid -f /dev/null
        /usr/sbin/sshd -E /var/log/sshd"""
    web.lab.run("sh", "-c", script, node="ham0")
    web.lab.wait("on", "ham0")
    done = web.lab.run(*mclu(programs, "viewer", "--print", "ham0:web"))
    web.lab.off("ham0")
    # sshd forbids sockets with it, so that nothing is reached there.
    told(done, "ham0: ssh: sshd forwards no sockets; set ")
    assert "'AllowTcpForwarding yes'" in done.stderr


def told(done: Done, words: str) -> None:
    """Assert that a command has failed, and said why in one line that begins so."""
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"mclu: {words}")
    assert done.stderr.count("\n") == 1
