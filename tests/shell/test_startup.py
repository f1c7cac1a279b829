"""The start-up file of the prompt."""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.shell.terminal import CTRL_D, Terminal

Started = Callable[[str], Terminal]


@pytest.fixture
def write_mclurc() -> Callable[[str], None]:
    """Return a function that writes the user's start-up file."""

    def write(text: str) -> None:
        file = Path(os.environ["HOME"], ".config", "mclu", "mclurc")
        file.parent.mkdir(parents=True)
        file.write_text(text)

    return write


@pytest.fixture
def started(terminal: Callable[..., Terminal], write_mclurc: Callable[[str], None]) -> Started:
    """Return a function that starts the demo with a start-up file."""

    def start(mclurc: str) -> Terminal:
        write_mclurc(mclurc)
        return terminal()

    return start


def unwrapped(screen: str) -> str:
    """Return the screen without blanks and newlines, as the terminal wraps long lines."""
    return "".join(screen.split())


def test_the_file_runs_before_the_first_prompt(started: Started) -> None:
    shell = started("# mine\nalias st='status ham1'\n\nst\n")
    assert shell.screen.endswith("Ctrl-D leaves.\nham1 off\nmclu>")
    shell.run("st")
    assert shell.screen.endswith("\nham1 off\nmclu>")


def test_errors_name_file_and_line_and_do_not_end_the_shell(started: Started) -> None:
    shell = started("stat\n\non ham9; status ham1\nalias st=status\n")
    output = unwrapped(shell.screen)
    assert ".config/mclu/mclurc:1:unknowncommand'stat'" in output
    assert ".config/mclu/mclurc:3:nosuchnode'ham9'" in output
    assert "Traceback" not in output
    shell.run("st ham2")
    assert shell.screen.endswith("\nham2 off\nmclu>")


def test_errors_in_the_file_do_not_set_the_exit_status(started: Started) -> None:
    shell = started("stat\n")
    shell.type(CTRL_D)
    assert shell.status() == 0


@pytest.mark.parametrize(("text", "message"), [("status 'a\n", ":1:noclosing'"), ("status\\", "afterthelast'\\'")])
def test_a_syntax_error_is_reported(started: Started, text: str, message: str) -> None:
    shell = started(text)
    assert message in unwrapped(shell.screen)
    shell.run("status ham1")
    assert shell.screen.endswith("ham1 off\nmclu>")


def test_quit_in_the_file_ends_the_shell(write_mclurc: Callable[[str], None]) -> None:
    write_mclurc("status ham1\nquit\nstatus ham2\n")
    with closing(Terminal("--demo")) as shell:
        assert shell.status() == 0
        assert "ham1 off" in shell.screen
        assert "ham2 off" not in shell.screen
        assert "mclu>" not in shell.screen


def test_a_file_that_other_users_can_write_is_not_run(
    terminal: Callable[..., Terminal], write_mclurc: Callable[[str], None]
) -> None:
    write_mclurc("status ham1\n")
    Path(os.environ["HOME"], ".config", "mclu", "mclurc").chmod(0o666)
    output = unwrapped(terminal().screen)
    assert "mclurc:notrun:otheruserscanwriteto" in output
    assert "ham1off" not in output
