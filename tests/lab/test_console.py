"""console on real guests, in a real terminal: what is typed reaches the guest, and the terminal is given back."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.support.cli import end_guests, left_behind, mclu, run_guest, until, virsh
from tests.lab.support.echo_guest import FLOOD, POWER_OFF, PROMPT, EchoGuest, start_echo_guest
from tests.lab.support.lab import RealLab, environment
from tests.lab.support.terminal import CTRL_C, ENTER, Typed, typed

LEAVE = "\x1d"
CONNECTED = "Connected to ham0:web; ^] leaves."


@pytest.fixture
def web(cloud: RealLab) -> EchoGuest:
    """A guest on ham0 that says what is typed on its console."""
    end_guests(cloud, "ham0")
    return start_echo_guest(cloud, "ham0", "web")


@pytest.fixture
def console(web: EchoGuest) -> Iterator[Typed]:
    """The console of web, connected."""
    with typed(web.lab, "mclu", "console", "web") as made:
        made.expect(CONNECTED)
        made.prompt()
        yield made


def test_what_is_typed_reaches_the_guest_until_the_user_leaves(web: EchoGuest, console: Typed) -> None:
    console.type("root" + ENTER)
    console.expect("root\r\r\n" + PROMPT)
    console.type(LEAVE)
    assert console.end() == 0
    assert "mclu" not in console.said
    assert left_behind(web.lab) == []
    # Nobody has the console any more.
    with typed(web.lab, "mclu", "console", "ham0:web") as again:
        again.expect(CONNECTED)
        again.prompt()
        again.type(LEAVE)
        assert again.end() == 0


def test_the_keyboards_signals_are_the_guests(console: Typed) -> None:
    console.type("a" + CTRL_C + "\x1a\x1cb")
    console.expect("a" + CTRL_C + "\x1a\x1cb")
    console.type(LEAVE)
    assert console.end() == 0


def test_what_is_typed_ahead_is_the_guests_and_what_follows_the_end_is_not(web: EchoGuest) -> None:
    with typed(web.lab, "mclu", "console", "web") as console:
        # Before mclu has looked at any node; the terminal makes newlines of the Enter key by now.
        console.type("root" + ENTER)
        console.expect(CONNECTED)
        console.expect("root\r\r\n" + PROMPT)
        console.type("x" + LEAVE + "rest")
        assert console.end() == 0
        console.type(ENTER)
        console.expect("read=rest")


def test_what_is_typed_right_before_leaving_still_reaches_the_guest(web: EchoGuest, console: Typed) -> None:
    console.type(POWER_OFF + LEAVE)
    assert console.end() == 0
    until(lambda: "web" not in virsh(web.lab, "ham0", "list", "--name"))


@pytest.mark.parametrize("end", ["guest", "virsh"])
def test_it_ends_with_its_guest(web: EchoGuest, console: Typed, end: str) -> None:
    if end == "guest":
        console.type(POWER_OFF)
    else:
        web.virsh("destroy")
    assert console.end() == 0
    assert console.said.endswith("\r\nham0:web is gone.\r\n\r\n")


def test_a_pulled_plug_ends_it(web: EchoGuest, console: Typed) -> None:
    web.lab.off("ham0")
    assert console.end() == 1
    assert "\r\nmclu: ham0: is off; run 'on ham0'\r\n" in console.said
    assert left_behind(web.lab) == []


def test_a_frozen_node_ends_it(web: EchoGuest, console: Typed) -> None:
    web.lab.freeze("ham0")
    assert console.end() == 1
    assert re.search(r"\r\nmclu: ham0: .*not answering", console.said)


@pytest.mark.parametrize(("signal", "status"), [("TERM", 143), ("HUP", 129), ("INT", 130)])
def test_a_signal_ends_it(web: EchoGuest, console: Typed, signal: str, status: int) -> None:
    console.kill(signal)
    assert console.end() == status
    assert left_behind(web.lab) == []


def test_a_frozen_libvirtd_does_not_keep_the_user(web: EchoGuest, console: Typed) -> None:
    web.lab.freeze("ham0", libvirtd=True)
    console.type("x" + LEAVE)
    assert console.end() == 0


def test_neither_a_guest_that_writes_much_nor_one_that_reads_nothing_keeps_the_user(
    web: EchoGuest, console: Typed
) -> None:
    console.type(FLOOD)
    console.expect("." * 10000)
    console.type("x")
    console.expect(".x")
    web.virsh("suspend")
    console.type("y" * 20000 + LEAVE)
    assert console.end() == 0


def test_a_log_has_what_the_guest_writes_behind_what_was_there(web: EchoGuest) -> None:
    log = web.lab.path / "home/web.log"
    log.write_bytes(b"before\n")
    with typed(web.lab, "mclu", "console", "web", "--log", str(log)) as console:
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
def test_a_log_that_cannot_be_written_ends_it(web: EchoGuest, log: str, why: str) -> None:
    with typed(web.lab, "mclu", "console", "web", "--log", log) as console:
        console.type(ENTER)
        assert console.end() == 1
        assert f"mclu: {log}: cannot write: {why}\r\n" in console.said


def test_a_console_in_use_can_be_taken_over(web: EchoGuest, console: Typed) -> None:
    mclu(web.lab, "console", "web").complains("ham0", "console of web is in use; --force takes it over")
    with typed(web.lab, "mclu", "console", "--force", "web") as other:
        other.expect(CONNECTED)
        assert console.end() == 1
        assert "mclu: ham0: the console of web was closed there, while it is running; " in console.said
        other.prompt()
        other.type(LEAVE)
        assert other.end() == 0


def test_input_that_is_no_terminal_is_sent_as_it_is(web: EchoGuest) -> None:
    command = web.lab.command("mclu", "console", "web")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment()) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        # ^] is a byte like any other then, and the end of the input ends nothing: the guest does.
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


def test_a_reader_that_leaves_ends_it(web: EchoGuest) -> None:
    done = web.lab.run("sh", "-c", "printf 'hello\\r' | mclu console web | grep -m 1 -o hello; echo ended")
    assert (done.stdout, done.stderr) == ("hello\nended\n", "")


def test_a_guest_without_a_serial_console_is_told(cloud: RealLab) -> None:
    end_guests(cloud, "ham0")
    run_guest(cloud, "ham0", "mute")
    mclu(cloud, "console", "mute").complains("ham0", "mute has no serial console", "virsh edit")


def test_a_guest_that_does_not_run_is_told(web: EchoGuest) -> None:
    xml = web.virsh("dumpxml")
    web.lab.run(
        "tee",
        "/tmp/spare.xml",
        node="ham0",
        input=re.sub("<uuid>.*</uuid>", "", xml).replace("<name>web", "<name>spare"),
    )
    EchoGuest(web.lab, "ham0", "/tmp/spare.xml").virsh("define")
    try:
        mclu(web.lab, "console", "spare").complains("ham0", "spare is not running; run 'start ham0:spare'")
    finally:
        EchoGuest(web.lab, "ham0", "spare").virsh("undefine")


def test_at_the_prompt(web: EchoGuest) -> None:
    with typed(web.lab, "mclu") as shell:
        shell.expect("mclu>")
        # All at once: the prompt has read more than its line when it runs it.
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
