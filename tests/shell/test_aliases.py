"""Aliases, and the file in which one keeps them."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mclu_shell.language import parser
from mclu_shell.language.aliases import expand
from mclu_shell.language.line import Line
from tests.shell.terminal import CTRL_D, Terminal

ALIASES = {
    "st": "status",
    "offs": "status | grep off",
    "both": "list; st 'ham*'",
    "list": "list --active",
    "saved": "status > s.txt",
    "ll": "!ls -l",
    "a": "b x",
    "b": "a y",
}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("status st", "status st"),
        ("st ham1 'a b'", "status ham1 'a b'"),
        ("st | wc -l", "status | wc -l"),
        ("st > x", "status > x"),
        ("st >> x", "status >> x"),
        ("offs -c 'a b'", "status | grep off -c 'a b'"),
        ("offs | wc -l", "status | grep off | wc -l"),
        ("offs >> ~/x", "status | grep off >> HOME/x"),
        ("both ham1", "list --active; status 'ham*' ham1"),
        ("list", "list --active"),
        ("saved ham1", "status ham1 > s.txt"),
        ("saved ham1 | wc", "status ham1 | wc"),
        ("ll 'a b'", "!ls -l 'a b'"),
        ("ll | wc -l", "!ls -l | wc -l"),
        # An alias within itself is the command.
        ("a z", "a y x z"),
        ("!st", "!st"),
    ],
)
def test_a_word_stands_for_a_text(text: str, meant: str) -> None:
    expanded = [part for line in parser.parse(text) for part in expand(line, ALIASES)]
    assert expanded == parser.parse(meant.replace("HOME", os.environ["HOME"]))


def test_what_it_stands_for_is_on_the_line_where_the_word_is() -> None:
    assert [line.number for line in expand(Line(("both",), 7), ALIASES)] == [7, 7]


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    with ExitStack() as stack:

        def start(mclurc: str | None = None, prompt: bool = True) -> Terminal:
            if mclurc is not None:
                file = Path(os.environ["HOME"], ".config", "mclu", "mclurc")
                file.parent.mkdir(parents=True)
                file.write_text(mclurc)
            started = Terminal("--demo")
            stack.callback(started.close)
            if prompt:
                started.expect_prompt()
            return started

        yield start


def unwrapped(screen: str) -> str:
    """Without what a terminal makes of a long line."""
    return "".join(screen.split())


def test_at_the_prompt(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    shell.run("alias st='status ham1'; st; st ham2 | grep -c off")
    assert shell.screen.endswith("\nham1 off\n2\nmclu>")
    shell.run("alias")
    assert shell.screen.endswith("\nalias st='status ham1'\nmclu>")
    shell.run("stt")
    assert "mclu: unknown command 'stt'; did you mean 'st'" in shell.screen
    shell.run("help st")
    assert shell.screen.endswith("\nst is an alias of 'status ham1'\nmclu>")
    shell.run("unalias st; st")
    assert "unalias st; st\nmclu: unknown command 'st'" in shell.screen


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("alias st = status", "no such alias 'st'"),
        ("alias =status", "bad alias name ''; write NAME='TEXT'"),
        ("alias 'a b=status'", "bad alias name 'a b'"),
        ("alias -x=status", "unrecognized arguments: -x=status"),
        ("alias st=", "alias st: the text is empty"),
        ('alias st="status \'a"', "alias st: no closing '"),
        ("unalias st", "no such alias 'st'"),
        ("unalias", "the following arguments are required: NAME"),
    ],
)
def test_what_is_wrong_is_told(terminal: Callable[..., Terminal], line: str, told: str) -> None:
    shell = terminal()
    shell.run(line)
    assert told in shell.screen


def test_the_start_up_file_is_run_before_the_first_prompt(terminal: Callable[..., Terminal]) -> None:
    shell = terminal("# mine\nalias st='status ham1'\n\nst\n")
    assert shell.screen.endswith("Ctrl-D leaves.\nham1 off\nmclu>")
    shell.run("st")
    assert shell.screen.endswith("\nham1 off\nmclu>")
    # What went wrong or well there is not what one leaves with.
    shell.type(CTRL_D)
    assert shell.status() == 0


def test_what_is_wrong_in_it_is_told_with_its_place_and_stops_nothing(terminal: Callable[..., Terminal]) -> None:
    shell = terminal("stat\n\non ham9; status ham1\nalias st=status\n")
    told = unwrapped(shell.screen)
    assert ".config/mclu/mclurc:1:unknowncommand'stat'" in told
    assert ".config/mclu/mclurc:3:nosuchnode'ham9'" in told
    assert "Traceback" not in told
    shell.run("st ham2")
    assert shell.screen.endswith("\nham2 off\nmclu>")


@pytest.mark.parametrize(("text", "told"), [("status 'a\n", ":1:noclosing'"), ("status\\", "afterthelast'\\'")])
def test_a_file_that_cannot_be_read_as_lines_is_told(terminal: Callable[..., Terminal], text: str, told: str) -> None:
    shell = terminal(text)
    assert told in unwrapped(shell.screen)
    shell.run("status ham1")
    assert shell.screen.endswith("ham1 off\nmclu>")


def test_it_may_say_that_one_leaves(terminal: Callable[..., Terminal]) -> None:
    shell = terminal("status ham1\nquit\nstatus ham2\n", prompt=False)
    assert shell.status() == 0
    assert "ham1 off" in shell.screen
    assert "ham2 off" not in shell.screen
    assert "mclu>" not in shell.screen
