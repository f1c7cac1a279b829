"""console on real guests, in a real terminal, which it restores at the end."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.support.cli import mclu, run_guest, runtime_directories, virsh, wait_until
from tests.lab.support.echo_guest import FLOOD, POWER_OFF, PROMPT, EchoGuest, start_echo_guest
from tests.lab.support.lab import RealLab, environment
from tests.lab.support.terminal import CTRL_C, ENTER, LEAVE, TerminalCommand, terminal_command

CONNECTED = "Connected to ham0:web; ^] leaves."


@pytest.fixture
def web(lab: RealLab) -> EchoGuest:
    """A guest on ham0 that echoes its console."""
    return start_echo_guest(lab, "ham0", "web")


@pytest.fixture
def console(web: EchoGuest) -> Iterator[TerminalCommand]:
    """A connected console of web."""
    with terminal_command(web.lab, "mclu", "console", "web") as command:
        command.expect(CONNECTED)
        command.prompt()
        yield command


def test_input_reaches_the_guest_until_the_user_leaves(web: EchoGuest, console: TerminalCommand) -> None:
    console.type("root" + ENTER)
    console.expect("root\r\r\n" + PROMPT)
    console.type(LEAVE)
    assert console.end() == 0
    assert "mclu" not in console.output
    assert runtime_directories(web.lab) == []
    # The console is free again.
    with terminal_command(web.lab, "mclu", "console", "ham0:web") as again:
        again.expect(CONNECTED)
        again.prompt()
        again.type(LEAVE)
        assert again.end() == 0


def test_control_keys_reach_the_guest(console: TerminalCommand) -> None:
    console.type("a" + CTRL_C + "\x1a\x1cb")
    console.expect("a" + CTRL_C + "\x1a\x1cb")
    console.type(LEAVE)
    assert console.end() == 0


def test_input_before_the_connection_reaches_the_guest_and_input_after_leaving_does_not(web: EchoGuest) -> None:
    with terminal_command(web.lab, "mclu", "console", "web") as console:
        # mclu has not connected yet, so the terminal still translates Enter to a newline.
        console.type("root" + ENTER)
        console.expect(CONNECTED)
        console.expect("root\r\r\n" + PROMPT)
        console.type("x" + LEAVE + "rest")
        assert console.end() == 0
        console.type(ENTER)
        console.expect("read=rest")


def test_input_right_before_leaving_reaches_the_guest(web: EchoGuest, console: TerminalCommand) -> None:
    console.type(POWER_OFF + LEAVE)
    assert console.end() == 0
    wait_until(lambda: "web" not in virsh(web.lab, "ham0", "list", "--name"))


@pytest.mark.parametrize("end", ["guest", "virsh"])
def test_the_console_ends_with_its_guest(web: EchoGuest, console: TerminalCommand, end: str) -> None:
    if end == "guest":
        console.type(POWER_OFF)
    else:
        web.virsh("destroy")
    assert console.end() == 0
    assert console.output.endswith("\r\nham0:web is gone.\r\n\r\n")


def test_a_power_cut_ends_the_console(web: EchoGuest, console: TerminalCommand) -> None:
    web.lab.off("ham0")
    assert console.end() == 1
    assert "\r\nmclu: ham0: is off; run 'on ham0'\r\n" in console.output
    assert runtime_directories(web.lab) == []


def test_a_frozen_node_ends_the_console(web: EchoGuest, console: TerminalCommand) -> None:
    web.lab.freeze("ham0")
    assert console.end() == 1
    assert re.search(r"\r\nmclu: ham0: .*not answering", console.output)


@pytest.mark.parametrize(("signal", "status"), [("TERM", 143), ("HUP", 129), ("INT", 130)])
def test_a_signal_ends_the_console_and_restores_the_terminal(
    web: EchoGuest, console: TerminalCommand, signal: str, status: int
) -> None:
    console.kill(signal)
    assert console.end() == status
    assert runtime_directories(web.lab) == []


def test_a_user_can_leave_the_console_of_a_frozen_libvirtd(web: EchoGuest, console: TerminalCommand) -> None:
    web.lab.freeze("ham0", libvirtd=True)
    console.type("x" + LEAVE)
    assert console.end() == 0


def test_a_user_can_leave_a_guest_that_floods_the_console_or_does_not_read(
    web: EchoGuest, console: TerminalCommand
) -> None:
    console.type(FLOOD)
    console.expect("." * 10000)
    console.type("x")
    console.expect(".x")
    web.virsh("suspend")
    console.type("y" * 20000 + LEAVE)
    assert console.end() == 0


def test_console_log_appends_the_output_of_the_guest(web: EchoGuest) -> None:
    log = web.lab.path / "home/web.log"
    log.write_bytes(b"before\n")
    with terminal_command(web.lab, "mclu", "console", "web", "--log", str(log)) as console:
        console.expect(CONNECTED)
        console.type("hello" + ENTER)
        console.expect("hello\r\r\n" + PROMPT)
        console.type(LEAVE)
        assert console.end() == 0
    assert log.read_bytes().startswith(b"before\n")
    assert log.read_bytes().endswith(b"hello\r\r\nlogin: ")


@pytest.mark.parametrize(
    ("log", "why"), [("/no/such", "No such file or directory"), ("/dev/full", "No space left on device")]
)
def test_a_log_that_cannot_be_written_ends_the_console(web: EchoGuest, log: str, why: str) -> None:
    with terminal_command(web.lab, "mclu", "console", "web", "--log", log) as console:
        console.type(ENTER)
        assert console.end() == 1
        assert f"mclu: {log}: cannot write: {why}\r\n" in console.output


def test_a_console_in_use_can_be_taken_over(web: EchoGuest, console: TerminalCommand) -> None:
    mclu(web.lab, "console", "web").assert_error("ham0", "console of web is in use; use --force to take it over")
    with terminal_command(web.lab, "mclu", "console", "--force", "web") as other:
        other.expect(CONNECTED)
        assert console.end() == 1
        assert "mclu: ham0: the console of web was closed on the node, although web is running; " in console.output
        other.prompt()
        other.type(LEAVE)
        assert other.end() == 0


def test_input_from_a_pipe_is_sent_unchanged(web: EchoGuest) -> None:
    command = web.lab.command("mclu", "console", "web")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment()) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        # ^] has no special meaning in a pipe, and the console outlives the end of its input.
        process.stdin.write(b"root\x1d\r")
        process.stdin.close()
        out = b""
        while not out.endswith(b"root\x1d\r\r\nlogin: "):
            byte = process.stdout.read(1)
            assert byte, process.stderr.read()
            out += byte
        web.virsh("destroy")
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"ham0:web is gone.\n")
    assert process.returncode == 0


def test_the_console_ends_when_its_reader_closes_the_pipe(web: EchoGuest) -> None:
    completed = web.lab.run("sh", "-c", "printf 'hello\\r' | mclu console web | grep -m 1 -o hello; echo ended")
    assert (completed.stdout, completed.stderr) == ("hello\nended\n", "")


def test_console_reports_a_guest_without_a_serial_console(lab: RealLab) -> None:
    run_guest(lab, "ham0", "mute")
    mclu(lab, "console", "mute").assert_error("ham0", "mute has no serial console", "virsh edit")


def test_console_reports_a_guest_that_is_not_running(web: EchoGuest) -> None:
    xml = web.virsh("dumpxml")
    web.lab.run(
        "tee",
        "/tmp/spare.xml",
        node="ham0",
        input=re.sub("<uuid>.*</uuid>", "", xml).replace("<name>web", "<name>spare"),
    )
    EchoGuest(web.lab, "ham0", "/tmp/spare.xml").virsh("define")
    try:
        mclu(web.lab, "console", "spare").assert_error("ham0", "spare is not running; run 'start ham0:spare'")
    finally:
        EchoGuest(web.lab, "ham0", "spare").virsh("undefine")


def test_console_at_the_prompt_returns_to_the_prompt(web: EchoGuest) -> None:
    with terminal_command(web.lab, "mclu") as shell:
        shell.expect("mclu>")
        # In one write, so the prompt has read beyond its line when it runs the command.
        shell.type("console web" + ENTER + "root" + ENTER)
        shell.expect(CONNECTED)
        shell.expect("root\r\r\n" + PROMPT)
        shell.type(CTRL_C + "z")
        shell.expect(CTRL_C + "z")
        shell.type(LEAVE + "list --active" + ENTER)
        shell.expect("ham0:web  running")
        shell.expect("mclu>")
        shell.type("console web" + ENTER)
        shell.expect(CONNECTED)
        shell.type(POWER_OFF)
        shell.expect("ham0:web is gone.")
        shell.expect("mclu>")
        shell.type("quit" + ENTER)
        assert shell.end() == 0
