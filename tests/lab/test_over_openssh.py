"""Commands that use more of a connection than libvirt: consoles, screens and builds over OpenSSH."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.support.cli import background, mclu, wait_until
from tests.lab.support.echo_guest import PROMPT, EchoGuest, start_echo_guest
from tests.lab.support.guests import BUILD, WAIT, send_signal, template, traces, wait_for_gate
from tests.lab.support.lab import RealLab
from tests.lab.support.terminal import CTRL_C, ENTER, LEAVE, TerminalCommand, terminal_command

pytestmark = pytest.mark.usefixtures("openssh")
VNC = "<graphics type='vnc' autoport='yes' listen='127.0.0.1'/>"


@pytest.fixture
def openssh(lab: RealLab, ssh_files: Path) -> None:
    """Log in with OpenSSH only."""
    lab.set_global("via=openssh")


@pytest.fixture
def web(lab: RealLab) -> EchoGuest:
    """A guest on ham0 that echoes its console."""
    return start_echo_guest(lab, "ham0", "web")


@pytest.fixture
def console(web: EchoGuest) -> Iterator[TerminalCommand]:
    """A connected console of web."""
    with terminal_command(web.lab, "mclu", "console", "web") as command:
        command.expect("Connected to ham0:web; ^] leaves.")
        command.prompt()
        yield command


def test_input_reaches_the_guest_until_the_user_leaves(console: TerminalCommand) -> None:
    console.type("root" + ENTER)
    console.expect("root\r\r\n" + PROMPT)
    console.type(LEAVE)
    assert console.end() == 0


def test_a_frozen_node_ends_the_console(web: EchoGuest, console: TerminalCommand) -> None:
    web.lab.freeze("ham0")
    assert console.end() == 1
    assert re.search(r"\r\nmclu: ham0: .*not answering", console.output)


def test_a_power_cut_ends_the_console(web: EchoGuest, console: TerminalCommand) -> None:
    web.lab.off("ham0")
    assert console.end() == 1
    assert "\r\nmclu: ham0: is off; run 'on ham0'\r\n" in console.output


def test_viewer_forwards_the_screen(lab: RealLab) -> None:
    start_echo_guest(lab, "ham0", "web", VNC)
    with terminal_command(lab, "mclu", "viewer", "--print", "web") as command:
        port = command.expect_match(r"vnc://127\.0\.0\.1:(\d+)\r\n")[1]
        script = f"exec 3<>/dev/tcp/127.0.0.1/{port} && head -c 12 <&3"
        assert lab.run("bash", "-c", script).stdout == "RFB 003.008\n"
        command.type(CTRL_C)
        assert command.end() == 130


@pytest.mark.parametrize("name", ["INT", "KILL"])
def test_a_signal_during_the_build_removes_everything(lab: RealLab, templates: Path, name: str) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with background(lab, "boot", "slow", "ham0:web") as command:
        wait_for_gate(lab, "ham0")
        send_signal(command, name)
        command.communicate(timeout=30)
    wait_until(lambda: traces(lab, "ham0") == before)


def test_a_guest_is_built_and_destroyed(lab: RealLab, templates: Path) -> None:
    before = traces(lab, "ham0")
    assert mclu(lab, "boot", "quick", "ham0:web").out == "ham0:web running\n"
    assert mclu(lab, "destroy", "--yes", "web").out == "ham0:web destroyed\n"
    assert traces(lab, "ham0") == before
