"""The text renderer: results as coloured text on streams."""

import contextlib
import re
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from mclu_shell.errors import MCluError
from mclu_shell.output import style
from mclu_shell.output.results import Entry, Meter, Result, Row, Table, Text
from mclu_shell.output.style import PLAIN_LOOK, Look, Painter

if TYPE_CHECKING:
    from mclu_shell.output.progress import ProgressLine

# C0 and C1 controls (ECMA-48), Unicode's line separators, and its bidirectional controls.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str, kept: str = "") -> str:
    """Replace control characters by blanks, except those kept, so that foreign text cannot control the terminal."""
    return _CONTROLS.sub(lambda match: match[0] if match[0] in kept else " ", text)


class Renderer:
    """Writes results to `out`, errors and progress to `err`; each is coloured as its stream and `color` allow."""

    # True if the output is for programs.
    is_data = False

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, color: str = "auto") -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.color = color
        self._progress: ProgressLine | None = None
        # The start of the command (of time.monotonic).
        self._began_at = time.monotonic()
        self._is_after_table = False

    def to(self, out: TextIO) -> "Renderer":
        """Return the same renderer with another output: a pipe or a file."""
        return Renderer(out, self.err, self.color)

    def frame(self, name: str, kinds: Sequence[str] | None) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002
        """Frame the results of the command `name`; `kinds` has the record kinds of its document, if it has one."""
        # Text has no frame.
        self._began_at = time.monotonic()
        self._is_after_table = False
        return contextlib.nullcontext()

    def show(self, result: Result) -> None:
        """Write and flush one result."""
        self.end_progress()
        self.out.write(self._text(result, self._look))
        self.out.flush()

    def error(self, error: MCluError, place: str = "") -> None:
        """Write `mclu: PLACE: FACT; REMEDY`; `place` is FILE:LINE of the script, if any."""
        self.end_progress()
        # If stderr cannot be written, the exit status still shows the failure.
        with contextlib.suppress(OSError):
            self.err.write(_error_text(error, place, self._painter(self.err)))
            self.err.flush()

    def interrupted(self, place: str = "") -> None:  # noqa: ARG002
        """End the progress message; the user knows about the interrupt."""
        self.end_progress()

    def end_answer(self) -> None:
        """End one of several answers of the same command."""
        self.out.write("\n")
        self.out.flush()

    def lines(self, results: Iterable[Result]) -> list[str]:
        """Return results and errors as lines for the terminal."""
        self._is_after_table = False
        return "".join([self._text(result, self._look) for result in results]).splitlines()

    def _text(self, result: Result, look: Look) -> str:
        """Return the text of a result or an error; on a terminal a blank line separates it from a table before it."""
        text = _error_text(result, "", look.painter) if isinstance(result, MCluError) else as_text(result, look)
        is_separate = self._is_after_table and look.columns is not None and text
        self._is_after_table = isinstance(result, Table) and (bool(text) or self._is_after_table)
        return f"\n{text}" if is_separate else text

    def hint(self, text: str) -> str:
        """Return the text of a hint about keys."""
        return self._look.painter(printable(text), "quiet")

    def progress(self, message: str) -> None:
        """Show a message on a terminal until the next output; nothing for an empty message."""
        # A closed terminal ends no command.
        with contextlib.suppress(OSError):
            if message and style.is_capable(self.err):
                self._show_progress(printable(message))

    def _show_progress(self, message: str) -> None:
        if self._progress is None:
            from mclu_shell.output.progress import ProgressLine

            self._progress = ProgressLine(self.err, self._began_at)
        self._progress.show(message)

    def end_progress(self) -> None:
        """Remove the progress message."""
        if self._progress is not None:
            self._progress.close()
            self._progress = None

    @property
    def is_styled(self) -> bool:
        """True if the output is a terminal that shows headings, aligned columns and colour."""
        return self.color != "never" and style.is_capable(self.out)

    @property
    def can_redraw(self) -> bool:
        """True if the output is a terminal whose lines can be replaced."""
        return style.is_capable(self.out)

    @property
    def _look(self) -> Look:
        if not self.is_styled:
            return Look(self._painter(self.out))
        return Look(style.paint, style.terminal_size(self.out).columns, style.glyphs(self.out))

    def _painter(self, stream: TextIO) -> Painter:
        is_colored = self.color == "always" or (self.color == "auto" and style.is_capable(stream))
        return style.paint if is_colored else style.unpainted


def _error_text(error: MCluError, place: str, painter: Painter) -> str:
    message = f"mclu: {place}: {error}" if place else f"mclu: {error}"
    return painter("\n  ".join(map(printable, (message, *error.details))), "bad") + "\n"


def as_text(result: Result, look: Look = PLAIN_LOOK) -> str:
    """Return the lines of a result, each ended by a newline."""
    match result:
        case Text():
            return printable(result.text, "\n\t") + "\n" if result.text else ""
        case Entry():
            head = f"{printable(result.name)} {look.painter(printable(result.state), result.tone)}"
            return "".join(line + "\n" for line in (head, *(f"  {_detail(line, look)}" for line in result.details)))
        case Table():
            return _table(result, look)
        case _:
            return ""


def _detail(detail: str | Meter, look: Look) -> str:
    if isinstance(detail, str):
        return printable(detail)
    text = printable(detail.text)
    if look.columns is None:
        return text
    bar = look.painter(*style.bar(detail.share, look.glyphs))
    return f"{text:<{style.METER_COLUMN}}  {bar}"


def _table(table: Table, look: Look) -> str:
    """Align the columns, with two blanks between them and none at the end of a line."""
    printed = [row._replace(cells=tuple(map(printable, row.cells))) for row in table.rows]
    if look.columns is not None:
        from mclu_shell.output.tables.layout import table_lines

        lines = table_lines(table._replace(rows=tuple(printed)), look, look.columns)
        return "".join(line + "\n" for line in lines)
    return _plain_table(printed, look.painter)


def _plain_table(rows: Sequence[Row], painter: Painter) -> str:
    count = max((len(row.cells) for row in rows), default=0)
    padded = [(*row.cells, *[""] * (count - len(row.cells))) for row in rows]
    widths = [max(len(cells[i]) for cells in padded) for i in range(count)]
    lines = []
    for row, cells in zip(rows, padded, strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        lines.append(painter(line, row.tone) + "\n")
    return "".join(lines)
