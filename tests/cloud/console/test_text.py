"""Console output as lines, including an unfinished one, without control sequences."""

import subprocess
import sys

import pytest

from mclu_shell.cloud.console.regex import Regex
from mclu_shell.cloud.console.text import ConsoleText


@pytest.mark.parametrize(
    ("pattern", "pieces", "match"),
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
def test_a_line_is_found_across_chunks(pattern: str, pieces: list[bytes], match: str | None) -> None:
    text = ConsoleText(Regex(pattern))
    lines = [text.feed(piece) for piece in pieces]
    assert next((line for line in lines if line is not None), None) == match


def test_the_last_line_is_the_last_that_is_not_empty() -> None:
    text = ConsoleText(Regex("never"))
    for piece in (b"one\r\ntwo\r\n", b"\x1b[0m", b"\r\n"):
        text.feed(piece)
    assert text.last_line == "two"


_SEARCH = """
from mclu_shell.cloud.console.text import ConsoleText
from mclu_shell.cloud.console.regex import Regex

print([ConsoleText(Regex(text)).feed(b"a" * 16000 + b"b") for text in ("(a+)+$", "(a|aa)+c", "(a*)*(a*)*c")])
"""


def test_no_regular_expression_takes_long() -> None:
    # In a subprocess with a timeout: a search with Python's re would not end.
    done = subprocess.run([sys.executable, "-c", _SEARCH], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "[None, None, None]\n"
