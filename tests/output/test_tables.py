import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclu_shell.errors import MCluError
from mclu_shell.output import style
from mclu_shell.output.live_screen import fit
from mclu_shell.output.results import Entry, Heading, Meter, Row, Table
from mclu_shell.output.style import PLAIN, UNICODE, Look, glyphs
from mclu_shell.output.tables.layout import table_lines
from mclu_shell.output.text_renderer import Renderer
from mclu_shell.output.text_width import truncated, width

HEADINGS = (Heading("GUEST"), Heading("STATE", is_toned=True), Heading("MEMORY", is_right=True))


class Terminal(io.StringIO):
    """A stream that passes for a terminal of 80 columns."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TERM", "xterm")


def lines(*rows: tuple[str, ...], columns: int = 80) -> list[str]:
    table = Table(tuple(Row(cells, tone="good") for cells in rows), headings=HEADINGS)
    return table_lines(table, Look(style.unpainted, columns, UNICODE), columns)


def test_a_terminal_has_headings_and_numbers_aligned_to_the_right() -> None:
    assert lines(("ham0:db", "running", "4G"), ("ham1:web", "shut off", "512M")) == [
        "GUEST     STATE     MEMORY",
        "ham0:db   running       4G",
        "ham1:web  shut off    512M",
    ]
    assert lines() == []


def test_wide_characters_take_two_columns() -> None:
    first, second, third = lines(("ham0:データ", "running", "4G"), ("ham0:e\u0301", "running", "4G"))
    assert second == "ham0:データ  running      4G"
    assert third == "ham0:e\u0301       running      4G"
    assert {width(line) for line in (first, second, third)} == {28}


def test_the_longest_column_of_a_wide_table_is_cut() -> None:
    shown = lines(("ham0:" + "a" * 40, "running", "4G"), ("ham0:db", "running", "4G"), columns=30)
    assert shown == [
        "GUEST          STATE    MEMORY",
        "ham0:aaaaaaa…  running      4G",
        "ham0:db        running      4G",
    ]


CELLS = st.tuples(*[st.text(alphabet="aデ\u0301 ", max_size=30)] * 3)


@given(st.lists(CELLS, max_size=4), st.integers(8, 100))
def test_no_line_of_a_table_is_wider_than_the_terminal(rows: list[tuple[str, ...]], columns: int) -> None:
    assert all(width(line) <= columns for line in lines(*rows, columns=columns))


@given(st.text(alphabet="aデ\u0301", max_size=30), st.integers(0, 40), st.sampled_from(["…", "..."]))
def test_cut_text_fits(text: str, columns: int, ellipsis: str) -> None:
    shown = truncated(text, columns, ellipsis)
    assert width(shown) <= columns
    assert shown == text or columns < len(ellipsis) or shown.endswith(ellipsis)


def test_a_line_with_colours_is_cut_by_its_visible_width() -> None:
    line = "ham0 " + style.paint("running", "good") + " 4G"
    assert fit(line, 15, "…") == line
    assert fit(line, 14, "…") == "ham0 \x1b[32mrunning\x1b[0m …\x1b[0m"
    assert fit(line, 9, "…") == "ham0 \x1b[32mrun…\x1b[0m"
    assert fit("abc" + style.paint("", "good") + "defg", 6, "...") == "abc...\x1b[0m"


def test_tables_on_a_terminal_are_separate_and_a_state_has_its_own_colour() -> None:
    out = Terminal()
    renderer = Renderer(out)
    for _ in range(2):
        renderer.show(Table((Row(("ham0:db", "running", "4G"), tone="good"),), headings=HEADINGS))
    head = "\x1b[1mGUEST    STATE    MEMORY\x1b[0m\n"
    table = f"{head}ham0:db  \x1b[32mrunning\x1b[0m      4G\n"
    assert out.getvalue() == f"{table}\n{table}"


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, f"\x1b[32m{'░' * 20}   0%\x1b[0m"),
        (0.5, f"\x1b[32m{'█' * 10}{'░' * 10}  50%\x1b[0m"),
        (0.8, f"\x1b[33m{'█' * 16}{'░' * 4}  80%\x1b[0m"),
        (2.0, f"\x1b[31m{'█' * 20} 200%\x1b[0m"),
    ],
)
def test_a_bar_shows_used_memory_on_terminals_only(share: float, expected: str) -> None:
    out, pipe = Terminal(), io.StringIO()
    for stream in (out, pipe):
        Renderer(stream).show(Entry("ham0", "on", (Meter("used:  2guests", share),), tone="good"))
    assert out.getvalue() == f"ham0 \x1b[32mon\x1b[0m\n  used:  2guests{' ' * 18}{expected}\n"
    assert pipe.getvalue() == "ham0 on\n  used:  2guests\n"


@pytest.mark.parametrize(("color", "term"), [("never", "xterm"), ("auto", "dumb"), ("auto", "")])
def test_a_terminal_without_style_shows_the_output_of_a_pipe(
    color: str, term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    out, err = Terminal(), Terminal()
    renderer = Renderer(out, err, color)
    assert not renderer.is_styled
    renderer.show(Entry("ham0", "on", (Meter("used: 1", 0.5),), tone="good"))
    renderer.show(Table((Row(("a", "b" * 200, "c"), tone="bad"),), headings=HEADINGS))
    renderer.error(MCluError("bad"))
    assert out.getvalue() == f"ham0 on\n  used: 1\na  {'b' * 200}  c\n"
    assert err.getvalue() == "mclu: bad\n"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"LC_ALL": "C"}, PLAIN),
        ({"LANG": "C"}, PLAIN),
        ({}, PLAIN),
        # Python sets this one in the C locale (PEP 538).
        ({"LC_CTYPE": "C.UTF-8"}, PLAIN),
        ({"LC_ALL": "de_DE.UTF-8"}, UNICODE),
        ({"LANG": "C.UTF-8"}, UNICODE),
        ({"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, UNICODE),
    ],
)
def test_characters_follow_the_locale(
    variables: dict[str, str], expected: style.Glyphs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert glyphs(Terminal()) == expected


def test_an_encoding_without_the_characters_has_plain_ones() -> None:
    with open(os.devnull, "w", encoding="iso-8859-1") as stream:  # noqa: PTH123
        assert glyphs(stream) == PLAIN
