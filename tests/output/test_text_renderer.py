import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclu_shell.errors import MCluError, NodeFault
from mclu_shell.output.results import Entry, Row, Table, Text
from mclu_shell.output.text_renderer import Renderer, as_text


class Terminal(io.StringIO):
    """A stream that passes for a terminal."""

    def isatty(self) -> bool:
        return True


def test_an_entry_is_a_line_with_its_details_indented_below() -> None:
    assert as_text(Entry("ham0", "on", ("total: 1", "free: 2"))) == "ham0 on\n  total: 1\n  free: 2\n"
    assert as_text(Entry("ham1", "off")) == "ham1 off\n"


def test_text_is_written_unchanged() -> None:
    assert as_text(Text("a\nb")) == "a\nb\n"
    assert as_text(Text("")) == ""


def test_a_table_has_columns() -> None:
    table = Table((Row(("a", "bbb", "c")), Row(("aaaa", "b")), Row(("x", "", "yy"))))
    assert as_text(table) == "a     bbb  c\naaaa  b\nx          yy\n"
    assert as_text(Table(())) == ""


CELLS = st.lists(st.text(alphabet="abc", max_size=5), min_size=1, max_size=4).map(tuple)


@given(st.lists(CELLS.map(Row), max_size=5).map(tuple))
def test_each_row_of_a_table_is_a_line_that_ends_with_its_last_word(rows: tuple[Row, ...]) -> None:
    lines = as_text(Table(rows)).splitlines()
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert line == line.rstrip()
        assert line.split() == [cell for cell in row.cells if cell]


@pytest.mark.parametrize(
    ("color", "stream", "painted"),
    [
        ("auto", Terminal, True),
        ("auto", io.StringIO, False),
        ("always", io.StringIO, True),
        ("never", Terminal, False),
    ],
)
def test_colour_is_for_terminals_unless_forced(color: str, stream: type[io.StringIO], painted: bool) -> None:
    out, err = stream(), stream()
    renderer = Renderer(out, err, color)
    renderer.show(Entry("ham1", "off", tone="quiet"))
    renderer.show(Table((Row(("a",), tone="good"),)))
    renderer.error(MCluError("bad"))
    expected = "ham1 \x1b[2moff\x1b[0m\n\x1b[32ma\x1b[0m\n" if painted else "ham1 off\na\n"
    assert out.getvalue() == expected
    assert err.getvalue() == ("\x1b[31mmclu: bad\x1b[0m\n" if painted else "mclu: bad\n")


def test_plain_things_have_no_colour() -> None:
    out = Terminal()
    Renderer(out).show(Table((Row(("a", "b")),)))
    assert out.getvalue() == "a  b\n"


def test_each_stream_is_coloured_for_itself() -> None:
    out, err = io.StringIO(), Terminal()
    renderer = Renderer(Terminal(), err).to(out)
    renderer.show(Entry("ham1", "off", tone="quiet"))
    renderer.error(MCluError("x"))
    assert out.getvalue() == "ham1 off\n"
    assert "\x1b[31m" in err.getvalue()


@pytest.mark.parametrize(
    "bad", ["\x1b]0;title\x07", "\x1b[2J", "\x9b2J", "\x9d0;x\x9c", "\r", "\x7f", "\u202e", "\u2028"]
)
def test_control_characters_are_never_written(bad: str) -> None:
    out, err = Terminal(), Terminal()
    renderer = Renderer(out, err, "never")
    error = MCluError("its\noutput:", place=f"a\n{bad}")
    error.details = (f"a{bad}b",)
    renderer.error(error)
    for result in (Text(f"a\tb\nc{bad}d"), Entry(bad, f"on{bad}", (bad, "a\nb")), Table((Row((bad, f"{bad}\n")),))):
        renderer.show(result)
    shown = out.getvalue() + err.getvalue()
    assert not {char for char in shown if not char.isprintable()} - {"\n", "\t"}
    # Each control character is a blank; the rest of the sequence is text.
    blank = "".join(char if char.isprintable() else " " for char in bad)
    assert err.getvalue() == f"mclu: a {blank}: its output:\n  a{blank}b\n"
    assert out.getvalue().splitlines()[:2] == ["a\tb", f"c{blank}d"]
    assert len(out.getvalue().splitlines()) == 2 + 3 + 1


def test_printable_names_are_written_unchanged() -> None:
    assert as_text(Entry("hä:вeб 👩\u200d💻", "on")) == "hä:вeб 👩\u200d💻 on\n"


def test_progress_is_for_terminals_only() -> None:
    err = io.StringIO()
    renderer = Renderer(io.StringIO(), err)
    renderer.progress("waiting")
    renderer.end_progress()
    assert err.getvalue() == ""


def read_terminal(main: int) -> str:
    """Read from a terminal whose other end is closed; empty at the end."""
    try:
        return os.read(main, 65536).decode()
    except OSError:  # EIO at the end.
        return ""


def test_progress_is_removed_before_the_next_output() -> None:
    main, theirs = os.openpty()
    try:
        with os.fdopen(theirs, "w") as err:
            renderer = Renderer(io.StringIO(), err)
            renderer.progress("waiting for ham1")
            renderer.show(Text("x"))
            renderer.end_progress()
        shown = "".join(iter(lambda: read_terminal(main), ""))
    finally:
        os.close(main)
    assert "waiting for ham1" in shown
    assert shown.endswith(("\x1b[2K", "\x1b[?25h"))


def test_a_long_name_neither_fills_nor_widens_a_table() -> None:
    rows = (Row(("ham0:" + "x" * (4 << 20), "running")), Row(("ham0:web", "running")))
    first, second = as_text(Table(rows)).splitlines()
    assert len(first) < 600
    assert first.endswith("running")
    assert len(second) < 120


def test_a_long_fact_keeps_the_remedy() -> None:
    err = io.StringIO()
    Renderer(err=err).error(NodeFault(f"no disk {'x' * (4 << 20)}", place="ham0", remedy="try again"))
    assert len(err.getvalue()) < 2100
    assert err.getvalue().startswith("mclu: ham0: no disk xxx")
    assert err.getvalue().endswith("; try again\n")
