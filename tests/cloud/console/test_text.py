"""What a guest has written: lines, also unfinished ones, without what only a terminal obeys."""

import subprocess
import sys

import pytest

from mclu_shell.cloud.console.regex import Regex
from mclu_shell.cloud.console.text import ConsoleText


@pytest.mark.parametrize(
    ("pattern", "pieces", "found"),
    [
        ("login:", [b"\r\n\r\nweb login: "], "web login:"),
        ("login: $", [b"web log", b"in:", b" "], "web login:"),
        ("^web", [b"a web\r\n", b"web b\r\n"], "web b"),
        ("a b", [b"a\r\nb\r\n"], None),
        ("^b$", [b"a\r", b"\nb\r", b"\n"], "b"),
        ("100%", [b"50%\r100%\r"], "100%"),
        (
            "Started sshd",
            [b"[\x1b[0;32m  OK  \x1b[0m] Started \x1b[0;1;39mss", b"hd\x1b[0m.\r\n"],
            "[  OK  ] Started sshd.",
        ),
        ("^ready$", [b"\x1b]0;a title\x07ready\x1b[", b"0m\r\n"], "ready"),
        ("^ready$", [b"\x1b[", b"1mready\r\n"], "ready"),
        ("grün", ["grün".encode()[:3], "grün".encode()[3:]], "grün"),
        ("x", [b"\xff\xfe\x00x"], "��x"),
        ("end$", [b"." * 100_000, b"end"], "." * ((16 << 10) - 3) + "end"),
    ],
)
def test_a_line_is_found_in_whatever_pieces_it_comes(pattern: str, pieces: list[bytes], found: str | None) -> None:
    text = ConsoleText(Regex(pattern))
    answers = [text.feed(piece) for piece in pieces]
    assert next((answer for answer in answers if answer is not None), None) == found


def test_the_last_line_is_the_last_with_anything_in_it() -> None:
    text = ConsoleText(Regex("never"))
    for piece in (b"one\r\ntwo\r\n", b"\x1b[0m", b"\r\n"):
        text.feed(piece)
    assert text.last_line == "two"


_SEARCH = """
from mclu_shell.cloud.console.text import ConsoleText
from mclu_shell.cloud.console.regex import Regex

print([ConsoleText(Regex(text)).feed(b"a" * 16000 + b"b") for text in ("(a+)+$", "(a|aa)+c", "(a*)*(a*)*c")])
"""


def test_no_expression_takes_long() -> None:
    # In a process of its own, which can be ended: a search by Python's own re would not come to an end.
    done = subprocess.run([sys.executable, "-c", _SEARCH], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "[None, None, None]\n"
