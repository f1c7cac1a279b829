"""Results onto streams: text and colour. It knows no command and no cloud."""

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from mclu_shell.results import Entry, Result, Row, Table, Text

if TYPE_CHECKING:
    from rich.status import Status
    from rich.text import Text as RichText

_SGR = {"good": "32", "bad": "31", "quiet": "2", "plain": ""}


def paint(text: str, tone: str) -> str:
    """Text in the colour of its tone (ECMA-48 SGR)."""
    return f"\x1b[{_SGR[tone]}m{text}\x1b[0m" if _SGR[tone] and text else text


def _unpainted(text: str, _tone: str) -> str:
    return text


class Renderer:
    """Writes answers to `out`, errors and progress to `err`; colours each as its stream and `color` allow."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, color: str = "auto") -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.color = color
        self._status: Status | None = None

    def to(self, out: TextIO) -> "Renderer":
        """The same renderer with its answers going elsewhere (a pipe or a file)."""
        return Renderer(out, self.err, self.color)

    def show(self, result: Result) -> None:
        """Write one answer at once, so that a reader sees each as it comes."""
        self.end_progress()
        self.out.write(as_text(result, self._painter(self.out)))
        self.out.flush()

    def error(self, message: str) -> None:
        """One line about what went wrong: `mclu: PLACE: FACT; REMEDY`."""
        # Where it cannot be told, the exit status still tells.
        with contextlib.suppress(OSError):
            self.err.write(self._painter(self.err)(f"mclu: {message}", "bad") + "\n")
            self.err.flush()

    def progress(self, words: str) -> None:
        """Say on a terminal what is being waited for, until something else is shown."""
        if not words or not self.err.isatty():
            return
        if self._status is None:
            # rich takes 60 ms to import, and only a person who waits needs it.
            from rich.console import Console
            from rich.status import Status

            self._status = Status("", console=Console(file=self.err), spinner="dots")
            self._status.start()
        self._status.update(_one_line(words))

    def end_progress(self) -> None:
        """Take away what `progress` has shown."""
        status, self._status = self._status, None
        if status is not None:
            status.stop()

    def _painter(self, stream: TextIO) -> Callable[[str, str], str]:
        wanted = self.color == "always" or (self.color == "auto" and stream.isatty())
        return paint if wanted else _unpainted


def _one_line(words: str) -> "RichText":
    """Words that others have written, so that they can neither be read as rich's markup nor move the cursor."""
    from rich.text import Text as RichText

    shown = "".join(char if char.isprintable() else " " for char in words)
    return RichText(shown, no_wrap=True, overflow="ellipsis")


def as_text(result: Result, painter: Callable[[str, str], str] = _unpainted) -> str:
    """The lines of a result, each ended by a newline."""
    match result:
        case Text():
            return result.text + "\n" if result.text else ""
        case Entry():
            head = f"{result.name} {painter(result.state, result.tone)}"
            return "".join(line + "\n" for line in (head, *(f"  {line}" for line in result.details)))
        case Table():
            return _table(result.rows, painter)
        case _:
            return ""


def _table(rows: tuple[Row, ...], painter: Callable[[str, str], str]) -> str:
    """Columns as wide as their widest cell, two blanks between them, none at the end of a line."""
    count = max((len(row.cells) for row in rows), default=0)
    padded = [row.cells + ("",) * (count - len(row.cells)) for row in rows]
    widths = [max(len(cells[i]) for cells in padded) for i in range(count)]
    lines = []
    for row, cells in zip(rows, padded, strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        lines.append(painter(line, row.tone) + "\n")
    return "".join(lines)
