"""Expansion of aliases."""

import os

import pytest

from mclu_shell.language import parser
from mclu_shell.language.aliases import expand
from mclu_shell.language.line import Line

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
    ("text", "expected"),
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
        # Within its own text, an alias is the command of that name.
        ("a z", "a y x z"),
        ("!st", "!st"),
    ],
)
def test_an_alias_is_replaced_by_its_text(text: str, expected: str) -> None:
    expanded = [part for line in parser.parse(text) for part in expand(line, ALIASES)]
    assert expanded == parser.parse(expected.replace("HOME", os.environ["HOME"]))


def test_expanded_commands_keep_the_line_number_of_the_alias() -> None:
    assert [line.number for line in expand(Line(("both",), 7), ALIASES)] == [7, 7]
