"""The prompt, in a real pseudo-terminal: what a person types, and what then stands on the screen."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pexpect
import pyte
import pytest

from tests.conftest import MCLU

LINES, COLUMNS = 30, 100
CTRL_C, CTRL_D, ENTER, TAB = "\x03", "\x04", "\r", "\t"
LIMIT_S = 10.0


class Terminal:
    """A program in a terminal of a fixed size, and its screen."""

    def __init__(self, *words: str, program: str = str(MCLU)) -> None:
        environment = {**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm-256color"}
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.Stream(self._screen)
        self._log = ""
        self._program = pexpect.spawn(
            program,
            list(words),
            env=environment,
            dimensions=(LINES, COLUMNS),
            encoding="utf-8",
            codec_errors="replace",
        )
        self._program.delaybeforesend = None

    @property
    def screen(self) -> str:
        """What stands there, without the blanks at the ends of lines."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def is_running(self) -> bool:
        return bool(self._program.isalive())

    def type(self, keys: str) -> None:
        self._program.send(keys)

    def read_until(self, is_there: Callable[[str], object]) -> None:
        """Read what the program writes until the screen is as it should be."""
        deadline = time.monotonic() + LIMIT_S
        while not is_there(self.screen):
            assert time.monotonic() < deadline, (
                f"not on the screen in time:\n{self.screen}\n--- all of it: {self._log!r}"
            )
            try:
                written = self._program.read_nonblocking(65536, timeout=0.2)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                assert is_there(self.screen), f"the program has ended:\n{self.screen}"
                return
            self._log += written
            self._stream.feed(written)

    def expect(self, pattern: str) -> None:
        """Read until a regular expression matches somewhere on the screen."""
        self.read_until(lambda screen: re.search(pattern, screen, re.MULTILINE))

    def expect_prompt(self) -> None:
        """Read until the program waits at an empty prompt."""
        self.expect(r"^mclu>\Z")

    def run(self, line: str) -> None:
        """Type a line, and read until the next prompt."""
        self.type(line + ENTER)
        self.expect(rf"^mclu> {re.escape(line)}$(?s:.*)^mclu>\Z")

    def status(self) -> int:
        """Read to the end of the program; its exit status."""
        self._program.expect(pexpect.EOF, timeout=LIMIT_S)
        self._stream.feed(self._program.before or "")
        self._program.close()
        assert self._program.exitstatus is not None, self._program.signalstatus
        return self._program.exitstatus

    def close(self) -> None:
        self._program.close(force=True)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Starts programs in terminals, which end with the test."""
    with ExitStack() as stack:

        def start(*words: str) -> Terminal:
            started = Terminal(*words)
            stack.callback(started.close)
            started.expect_prompt()
            return started

        yield start


@pytest.fixture
def shell(terminal: Callable[..., Terminal]) -> Terminal:
    return terminal("--demo")


def test_it_greets_and_runs_commands(shell: Terminal) -> None:
    assert "4 nodes" in shell.screen
    assert "'help' lists the commands, Ctrl-D leaves." in shell.screen
    shell.run("status")
    assert "ham0 on\n  total: 8pcpus 30.9G\n  used:  2guests 4vcpus 6.0G\n  free: 24.9G\nham1 off\n" in shell.screen


def test_a_line_means_what_it_means_everywhere(shell: Terminal) -> None:
    shell.run("status ham1; status 'ham2' # not ham3")
    assert shell.screen.endswith("\nham1 off\nham2 off\nmclu>")
    shell.run("status | grep -c off")
    assert shell.screen.endswith("\n3\nmclu>")
    shell.run("!echo $((6 * 7))")
    assert shell.screen.endswith("\n42\nmclu>")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("lst", "mclu: unknown command 'lst'; did you mean 'list'?"),
        ("on hma1", "mclu: no such node 'hma1'; did you mean 'ham1'?"),
        ("status 'a", "mclu: no closing '"),
        ("off ham0", "mclu: ham0: not switched off: guests running: db, web"),
        # Names of cmd2's own commands and settings.
        ("set", "mclu: unknown command 'set'"),
        ("macro create x y", "mclu: unknown command 'macro'"),
        ("_eofx", "mclu: unknown command '_eofx'"),
    ],
)
def test_what_is_wrong_is_told_in_the_same_words(shell: Terminal, line: str, told: str) -> None:
    shell.run(line)
    assert f"\n{told}" in shell.screen


def test_tab_completes_a_command(shell: Terminal) -> None:
    shell.type("stat" + TAB)
    shell.expect(r"^mclu> status\Z|^mclu> status\s")
    shell.type("ham1" + ENTER)
    shell.expect(r"^mclu> status ham1\n(?s:.*)^ham1 off\nmclu>\Z")


def test_only_nodes_that_are_off_are_offered_to_wake(shell: Terminal) -> None:
    shell.run("status")
    shell.type("clear-this" + "\x15on ham" + TAB)
    shell.expect(r"mclu> on ham[123]?\n(?s:.*)ham1(?s:.*)ham2(?s:.*)ham3")
    menu = shell.screen.rpartition("mclu> on ham")[2]
    assert "ham0" not in menu
    assert "off" in menu


def test_ctrl_c_at_an_empty_prompt_keeps_the_shell(shell: Terminal) -> None:
    for _ in range(3):
        shell.type(CTRL_C)
    shell.run("status ham1")
    assert "ham1 off" in shell.screen


def test_ctrl_c_drops_the_line_that_is_being_typed(shell: Terminal) -> None:
    shell.type("off ham" + CTRL_C)
    shell.run("status ham1")
    assert shell.screen.endswith("ham1 off\nmclu>")


def test_ctrl_c_ends_what_runs_and_nothing_else(
    terminal: Callable[..., Terminal], tmp_path: Path, silent_port: int
) -> None:
    settings = f"address=127.0.0.1 port={silent_port} mac=74:d4:35:51:ab:86 broadcast=127.0.0.1 connect_timeout=0.3"
    (tmp_path / "x.conf").write_text(f"[nodes]\nham0 {settings}\n")
    shell = terminal("-f", str(tmp_path / "x.conf"))
    shell.type("on ham0 --wait; status" + ENTER)
    shell.expect(r"^Waking up 74:d4:35:51:ab:86\.\.\.\n.*waiting for ham0 to come up")
    shell.type(CTRL_C)
    shell.expect_prompt()
    # What came after it on the line is not run.
    assert "ham0 off" not in shell.screen
    assert "Traceback" not in shell.screen
    shell.run("status")
    assert "ham0 off" in shell.screen


def test_ctrl_c_ends_a_program_of_the_users_shell(shell: Terminal) -> None:
    shell.type("!echo begun; sleep 60" + ENTER)
    shell.expect(r"^begun$")
    shell.type(CTRL_C)
    shell.expect_prompt()
    shell.run("status ham1")
    assert "ham1 off" in shell.screen


@pytest.mark.parametrize(("line", "status"), [("status", 0), ("on ham9", 1), ("lst", 2)])
def test_ctrl_d_leaves_with_the_status_of_the_last_command(shell: Terminal, line: str, status: int) -> None:
    shell.run(line)
    shell.type(CTRL_D)
    assert shell.status() == status


@pytest.mark.parametrize("line", ["quit", "exit", "status ham1; quit"])
def test_quit_leaves(shell: Terminal, line: str) -> None:
    shell.type(line + ENTER)
    assert shell.status() == 0


def test_the_arrow_brings_back_the_line_before(shell: Terminal) -> None:
    shell.run("status ham1")
    shell.type("\x1b[A")
    shell.expect(r"^mclu> status ham1\Z")
    shell.type(ENTER)
    shell.expect(r"(?s)mclu> status ham1\nham1 off\nmclu> status ham1\nham1 off\nmclu>\Z")


def test_lines_typed_ahead_are_run_one_after_another(shell: Terminal) -> None:
    shell.type(f"status ham1{ENTER}status ham2{ENTER}status ham3{ENTER}")
    shell.expect(r"(?s)ham1 off.*ham2 off.*ham3 off\nmclu>\Z")


def test_a_bad_configuration_is_told_before_there_is_a_prompt(tmp_path: Path) -> None:
    (tmp_path / "x.conf").write_text("[nodes]\nham0 mac=1\n")
    program = Terminal("-f", str(tmp_path / "x.conf"))
    assert program.status() == 2
    assert re.search(r"mclu: /.*/x\.conf:2: bad mac '1'", program.screen.replace("\n", ""))
    assert "mclu>" not in program.screen
