"""The text renderer: results as coloured text on streams."""

import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from mclu_shell.errors import MCluError
from mclu_shell.output.results import Entry, Result, Row, Table, Text

if TYPE_CHECKING:
    from rich.status import Status

_SGR = {"good": "32", "bad": "31", "quiet": "2", "plain": ""}


# C0 and C1 controls (ECMA-48), Unicode's line separators, and its bidirectional controls.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


# In characters. libvirt allows names of 4 MiB; longer text is cut in the middle, so that an error keeps its remedy.
_LONGEST, _LONGEST_CELL, _LONGEST_TEXT = 2000, 500, 1 << 20
# A longer cell does not widen its column.
_WIDEST = 100


def printable(text: str, kept: str = "", longest: int = _LONGEST) -> str:
    """Replace control characters by blanks, except those kept, and cut long text.

    Foreign text cannot control or fill the terminal then. All text that is shown passes through this function.
    """
    if len(text) > longest:
        half = longest // 2
        text = f"{text[:half]} … {text[-half:]}"
    return _CONTROLS.sub(lambda match: match[0] if match[0] in kept else " ", text)


def paint(text: str, tone: str) -> str:
    """Return text in the colour of its tone (ECMA-48 SGR)."""
    return f"\x1b[{_SGR[tone]}m{text}\x1b[0m" if _SGR[tone] and text else text


def _unpainted(text: str, _tone: str) -> str:
    return text


class Renderer:
    """Writes results to `out`, errors and progress to `err`; each is coloured as its stream and `color` allow."""

    # True if the output is for programs.
    is_data = False

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, color: str = "auto") -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.color = color
        self._status: Status | None = None

    def to(self, out: TextIO) -> "Renderer":
        """Return the same renderer with another output: a pipe or a file."""
        return Renderer(out, self.err, self.color)

    def frame(self, name: str, kinds: Sequence[str] | None) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002
        """Frame the results of the command `name`; `kinds` has the record kinds of its document, if it has one."""
        # Text has no frame.
        return contextlib.nullcontext()

    def show(self, result: Result) -> None:
        """Write and flush one result."""
        self.end_progress()
        self.out.write(as_text(result, self._painter(self.out)))
        self.out.flush()

    def error(self, error: MCluError, place: str = "") -> None:
        """Write `mclu: PLACE: FACT; REMEDY`; `place` is FILE:LINE of the script, if any."""
        self.end_progress()
        message = f"mclu: {place}: {error}" if place else f"mclu: {error}"
        # If stderr cannot be written, the exit status still shows the failure.
        with contextlib.suppress(OSError):
            lines = "\n  ".join(map(printable, (message, *error.details)))
            self.err.write(self._painter(self.err)(lines, "bad") + "\n")
            self.err.flush()

    def debug(self, text: str) -> None:
        """Write a text for debugging, such as a traceback, which may quote a node."""
        with contextlib.suppress(OSError):
            self.err.write(printable(text, "\n", _LONGEST_TEXT) + "\n")
            self.err.flush()

    def interrupted(self, place: str = "") -> None:  # noqa: ARG002
        """End the progress message; the user knows about the interrupt."""
        self.end_progress()

    def progress(self, message: str) -> None:
        """Show a message on a terminal until the next output."""
        # A closed terminal ends no command.
        with contextlib.suppress(OSError):
            if message and self.err.isatty():
                self._show_progress(message)

    def _show_progress(self, message: str) -> None:
        if self._status is None:
            # rich takes 60 ms to import.
            from rich.console import Console
            from rich.status import Status

            self._status = Status("", console=Console(file=self.err), spinner="dots")
            self._status.start()
        # A rich.Text is not parsed as markup.
        from rich.text import Text as RichText

        self._status.update(RichText(printable(message), no_wrap=True, overflow="ellipsis"))

    def end_progress(self) -> None:
        """Remove the progress message."""
        if self._status is not None:
            with contextlib.suppress(OSError):
                self._status.stop()
                # An interrupt within stop() would leave the cursor hidden.
                self._status.console.show_cursor()
            self._status = None

    def _painter(self, stream: TextIO) -> Callable[[str, str], str]:
        is_colored = self.color == "always" or (self.color == "auto" and stream.isatty())
        return paint if is_colored else _unpainted


def as_text(result: Result, painter: Callable[[str, str], str] = _unpainted) -> str:
    """Return the lines of a result, each ended by a newline."""
    match result:
        case Text():
            return printable(result.text, "\n\t", _LONGEST_TEXT) + "\n" if result.text else ""
        case Entry():
            head = f"{printable(result.name)} {painter(printable(result.state), result.tone)}"
            return "".join(line + "\n" for line in (head, *(f"  {printable(line)}" for line in result.details)))
        case Table():
            return _table(result.rows, painter)
        case _:
            return ""


def _table(rows: tuple[Row, ...], painter: Callable[[str, str], str]) -> str:
    """Align the columns, with two blanks between them and none at the end of a line."""
    count = max((len(row.cells) for row in rows), default=0)
    padded = [
        (*(printable(cell, longest=_LONGEST_CELL) for cell in row.cells), *[""] * (count - len(row.cells)))
        for row in rows
    ]
    widths = [min(_WIDEST, max(len(cells[i]) for cells in padded)) for i in range(count)]
    lines = []
    for row, cells in zip(rows, padded, strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        lines.append(painter(line, row.tone) + "\n")
    return "".join(lines)
