"""The prompt in a real pseudo-terminal: keys, and the resulting screen."""

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import cmd2
import pytest

from mclu_shell.command_loader import command_names
from tests.shell.terminal import CTRL_BACKSLASH, CTRL_C, CTRL_D, ENTER, TAB, Terminal
from tests.support.mclu import MCLU


def test_the_shell_prints_a_greeting_and_runs_commands(shell: Terminal) -> None:
    assert "4 nodes" in shell.screen
    assert "'help' lists the commands, Ctrl-D leaves." in shell.screen
    shell.run("status")
    assert re.search(r"^ham0 on\n  total: 8pcpus 30.9G\n  used:  .*\n  free: 24.9G\nham1 off\n", shell.screen, re.M)


def test_a_line_has_separators_quotes_comments_pipes_and_programs(shell: Terminal) -> None:
    shell.run("status ham1; status 'ham2' # not ham3")
    assert shell.screen.endswith("\nham1 off\nham2 off\nmclu>")
    shell.run("status | grep -c off")
    assert shell.screen.endswith("\n3\nmclu>")
    shell.run("!echo $((6 * 7))")
    assert shell.screen.endswith("\n42\nmclu>")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("shutdwn", "mclu: unknown command 'shutdwn'; did you mean 'shutdown'?"),
        ("on hma1", "mclu: no such node 'hma1'; did you mean 'ham1'?"),
        ("status 'a", "mclu: no closing '"),
        ("off ham0", "mclu: ham0: cannot switch off: guests db and web are running;"),
    ],
)
def test_errors_are_printed(shell: Terminal, line: str, message: str) -> None:
    shell.run(line)
    assert f"\n{message}" in shell.screen


def test_pasted_text_is_one_text_until_enter_runs_it(shell: Terminal) -> None:
    shell.type("\x1b[200~status \\\n  ham1\nstatus ham2\x1b[201~")
    shell.expect(r"^mclu> status \\\n>   ham1\n> status ham2\Z")
    shell.type(" ham3" + ENTER)
    shell.expect(r"status ham2 ham3\nham1 off\nham2 off\nham3 off\nmclu>\Z")


def test_commands_of_cmd2_are_unknown(shell: Terminal) -> None:
    ours = {*command_names(), "run"}
    theirs = sorted(name.removeprefix("do_") for name in dir(cmd2.Cmd) if name.startswith("do_"))
    foreign = [name for name in theirs if name not in ours]
    assert {"_eof", "edit", "macro", "run_pyscript", "shell", "shortcuts"} <= set(foreign)
    for name in foreign:
        shell.run(name)
        assert f"mclu: unknown command '{name}'" in shell.screen
        shell.type("!clear" + ENTER)
        shell.expect(r"\A(mclu>)?\s*mclu>\Z")


def test_tab_completes_a_command(shell: Terminal) -> None:
    shell.type("stat" + TAB)
    shell.expect(r"^mclu> status\Z|^mclu> status\s")
    shell.type("ham1" + ENTER)
    shell.expect(r"^mclu> status ham1\n(?s:.*)^ham1 off\nmclu>\Z")


def test_tab_after_on_offers_only_nodes_that_are_off(shell: Terminal) -> None:
    shell.run("status")
    shell.type("clear-this" + "\x15on ham" + TAB)
    shell.expect(r"mclu> on ham[123]?\n(?s:.*)ham1(?s:.*)ham2(?s:.*)ham3")
    menu = shell.screen.rpartition("mclu> on ham")[2]
    assert "ham0" not in menu
    assert "off" in menu


def test_ctrl_c_at_an_empty_prompt_does_not_end_the_shell(shell: Terminal) -> None:
    for _ in range(3):
        shell.type(CTRL_C)
    shell.run("status ham1")
    assert "ham1 off" in shell.screen


def test_ctrl_c_discards_the_typed_line(shell: Terminal) -> None:
    shell.type("off ham" + CTRL_C)
    shell.run("status ham1")
    assert shell.screen.endswith("ham1 off\nmclu>")


def test_ctrl_c_ends_the_running_line_but_not_the_shell(
    terminal: Callable[..., Terminal], tmp_path: Path, off_settings: str
) -> None:
    (tmp_path / "x.conf").write_text(f"[nodes]\nham0 {off_settings} connect_timeout=0.3\n")
    shell = terminal("-f", str(tmp_path / "x.conf"))
    shell.type("on ham0 --wait; status" + ENTER)
    shell.expect(r"^Waking up 74:d4:35:51:ab:86\.\.\.\n.*waiting for ham0 to come up")
    shell.type(CTRL_C)
    shell.expect_prompt()
    # The rest of the line is not run.
    assert "ham0 off" not in shell.screen
    assert "Traceback" not in shell.screen
    shell.run("status")
    assert "ham0 off" in shell.screen


def test_the_toolbar_counts_woken_nodes(terminal: Callable[..., Terminal], tmp_path: Path, off_settings: str) -> None:
    (tmp_path / "x.conf").write_text(f"[nodes]\nham0 {off_settings} connect_timeout=0.3\n")
    shell = terminal("-f", str(tmp_path / "x.conf"))
    shell.expect_toolbar("0 on  1 off  0 guests running")
    shell.run("on ham0")
    shell.expect_toolbar("0 on  1 waking  0 guests running")


@pytest.mark.parametrize("line", ["!cat", "status ham1 | cat - /dev/tty"])
def test_ctrl_c_ends_a_program_of_the_users_shell(shell: Terminal, line: str) -> None:
    shell.type(line + ENTER)
    shell.expect_echo("begun")
    shell.type(CTRL_C)
    shell.expect_prompt()
    assert shell.children == []
    shell.type(CTRL_D)
    assert shell.status() == 130


@pytest.mark.parametrize("line", ["!cat", "status ham1 | cat - /dev/tty"])
def test_ctrl_backslash_ends_a_program_but_not_the_shell(shell: Terminal, line: str) -> None:
    shell.type(line + ENTER)
    shell.expect_echo("begun")
    shell.type(CTRL_BACKSLASH)
    shell.expect_prompt()
    assert shell.children == []
    # Without a program, the signal has no effect.
    os.kill(shell.pid, signal.SIGQUIT)
    shell.run("status ham1")
    assert shell.screen.endswith("ham1 off\nmclu>")


_READER_IGNORING_SIGINT = """
import signal, sys
signal.signal(signal.SIGINT, lambda *_: print("SIGINT", flush=True))
if not sys.stdin.isatty():
    # Until the command before the pipe ends, Ctrl-C interrupts that command.
    sys.stdin.read()
with open("/dev/tty") as typed:
    for line in typed:
        print("read", line, end="", flush=True)
        if line == "end\\n":
            break
"""


@pytest.mark.parametrize("line", ["!", "status ham1 | "])
def test_a_program_that_handles_ctrl_c_keeps_the_terminal(shell: Terminal, tmp_path: Path, line: str) -> None:
    (tmp_path / "x.py").write_text(_READER_IGNORING_SIGINT)
    shell.type(f"{line}{sys.executable} ~/x.py" + ENTER)
    shell.read_until(lambda _screen: shell.children)
    shell.type("begun" + ENTER)
    shell.expect(r"^read begun$")
    # Like an editor or a pager, it keeps running.
    for times in range(1, 4):
        shell.type(CTRL_C)
        shell.expect(rf"(SIGINT(.|\n)*){{{times}}}")
    shell.type("end" + ENTER)
    shell.expect(r"^read end\n\n?mclu>\Z")


def test_a_pager_takes_the_terminal_and_returns_it(shell: Terminal) -> None:
    shell.type("help help status list on off boot | less" + ENTER)
    shell.expect(r"^:\Z")
    shell.type(CTRL_C)
    # less discards keys until it has handled the signal.
    while "(END)" not in shell.screen:
        shell.type("G")
        shell.read_a_little()
    shell.type("q")
    shell.expect_prompt()
    shell.run("status ham1")
    assert shell.screen.endswith("ham1 off\nmclu>")


def test_terminal_modes_are_restored_after_a_killed_program(shell: Terminal) -> None:
    shell.run("!stty raw -echo; kill -9 $$")
    shell.type("!cat" + ENTER)
    shell.expect_echo("begun")
    shell.type(CTRL_C)
    shell.expect_prompt()


def test_repeated_ctrl_c_does_not_end_the_shell(shell: Terminal) -> None:
    # Signals arrive at any point of the program.
    for line in ("status", "!true", "list | cat", "help", "", "status | cat") * 5:
        shell.type(line + ENTER)
        for _ in range(5):
            os.killpg(shell.pid, signal.SIGINT)
            shell.read_a_little()
    shell.type(CTRL_C * 2 + "!echo $((6 * 7))" + ENTER)
    shell.expect(r"^42\nmclu>\Z")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_shell_and_terminal_modes_are_restored(tmp_path: Path, number: signal.Signals) -> None:
    program = Terminal("-c", 'stty -g; "$0" --demo; echo status=$?; stty -g', str(MCLU), program="/bin/sh")
    program.expect_prompt()
    program.type("half a line")
    program.expect(r"^mclu> half a line\Z")
    os.kill(program.children[0], number)
    program.expect(rf"^status={128 + number}\n\S+\Z")
    before, *_, after = program.screen.split("\n")
    assert before == after
    assert "Traceback" not in program.screen
    program.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_running_command_and_then_the_shell(number: signal.Signals) -> None:
    program = Terminal("-c", '"$0" --demo; echo status=$?', str(MCLU), program="/bin/sh")
    program.expect_prompt()
    program.type("wait guest web off; status" + ENTER)
    program.read_until(lambda screen: "waiting for" in screen)
    os.kill(program.children[0], number)
    program.expect(rf"^status={128 + number}\n?\Z")
    assert "ham0 on" not in program.screen
    assert "Traceback" not in program.screen
    program.close()


@pytest.mark.parametrize("line", ["half a line", "!sleep 60" + ENTER, "status | sleep 60" + ENTER])
def test_closing_the_window_ends_the_shell_silently_and_removes_its_sockets(
    tmp_path: Path, short_directory: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_directory))
    program = Terminal("-c", f'exec "$0" --demo 2>{tmp_path}/err', str(MCLU), program="/bin/sh")
    program.expect_prompt()
    program.run("status ham1")
    assert list(short_directory.iterdir())
    program.type(line)
    program.expect(re.escape(line.strip()) + "$")
    status = program.hang_up()
    errors = (tmp_path / "err").read_text()
    assert (status, errors) == (129, ""), errors
    assert list(short_directory.rglob("*")) == []


@pytest.mark.parametrize(("line", "status"), [("status", 0), ("on ham9", 1), ("lst", 2)])
def test_ctrl_d_leaves_with_the_status_of_the_last_command(shell: Terminal, line: str, status: int) -> None:
    shell.run(line)
    shell.type(CTRL_D)
    assert shell.status() == status


def test_a_blank_line_keeps_the_status(shell: Terminal) -> None:
    shell.run("lits")
    shell.type(ENTER + CTRL_C + CTRL_D)
    assert shell.status() == 2


def test_ctrl_d_at_the_end_of_a_line_does_nothing(shell: Terminal) -> None:
    shell.type("status ham1" + CTRL_D + CTRL_D + ENTER)
    shell.expect(r"^mclu> status ham1\nham1 off\nmclu>\Z")


def test_ctrl_z_suspends_the_shell() -> None:
    program = Terminal("--norc", "--noprofile", "-i", program="/bin/bash")
    program.type(f"PS1='bash> '; {MCLU} --demo" + ENTER)
    program.expect_prompt()
    program.type("status" + "\x1a")
    program.expect(r"Stopped(?s:.*)^bash>\Z")
    program.type("fg" + ENTER)
    program.expect(r"^mclu> status\Z")
    program.type(" ham1" + ENTER)
    program.expect(r"^ham1 off\nmclu>\Z")
    program.close()


@pytest.mark.parametrize("line", ["quit", "exit", "status ham1; quit"])
def test_quit_ends_the_shell(shell: Terminal, line: str) -> None:
    shell.type(line + ENTER)
    assert shell.status() == 0


def test_arrow_up_shows_the_previous_line(shell: Terminal) -> None:
    shell.run("status ham1")
    shell.type("\x1b[A")
    shell.expect(r"^mclu> status ham1\Z")
    shell.type(ENTER)
    shell.expect(r"(?s)mclu> status ham1\nham1 off\nmclu> status ham1\nham1 off\nmclu>\Z")


def test_lines_typed_ahead_run_in_order(shell: Terminal) -> None:
    shell.type(f"status ham1{ENTER}status ham2{ENTER}status ham3{ENTER}")
    shell.expect(r"(?s)ham1 off.*ham2 off.*ham3 off\nmclu>\Z")


def test_keys_typed_before_a_question_go_to_the_prompt(shell: Terminal, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # The question comes after the first command, which waits for the FIFO.
    shell.type(f"status ham1 | cat ~/fifo; destroy web{ENTER}")
    shell.read_until(lambda _screen: shell.children)
    shell.type(f"y{ENTER}status ham2{ENTER}off")
    shell.expect(r"^y\nstatus ham2\noff\Z")
    fifo.write_text("")
    shell.expect(r"Destroy it\? \[y/N\]\Z")
    shell.type("n" + ENTER)
    shell.expect(r"^Nothing was destroyed\.\nmclu> y\nmclu: .*\nmclu> status ham2\nham2 off\nmclu> off\Z")


def test_a_bad_configuration_is_reported_without_a_prompt(tmp_path: Path) -> None:
    (tmp_path / "x.conf").write_text("[nodes]\nham0 mac=1\n")
    program = Terminal("-f", str(tmp_path / "x.conf"))
    assert program.status() == 2
    assert re.search(r"mclu: /.*/x\.conf:2: bad mac '1'", program.screen.replace("\n", ""))
    assert "mclu>" not in program.screen
