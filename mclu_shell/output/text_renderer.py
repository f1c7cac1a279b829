"""Results onto streams: text and colour. It knows no command and no cloud. As JSON: render_json.py."""

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


# C0 and C1 (ECMA-48), the ends of lines that Unicode has besides, and what turns the direction of writing.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str, kept: str = "") -> str:
    """Words that others have written, with blanks for all that a terminal would obey instead of showing it."""
    return _OBEYED.sub(lambda found: found[0] if found[0] in kept else " ", text)


def paint(text: str, tone: str) -> str:
    """Text in the colour of its tone (ECMA-48 SGR)."""
    return f"\x1b[{_SGR[tone]}m{text}\x1b[0m" if _SGR[tone] and text else text


def _unpainted(text: str, _tone: str) -> str:
    return text


class Renderer:
    """Writes answers to `out`, errors and progress to `err`; colours each as its stream and `color` allow."""

    # Whether answers are for a program.
    is_data = False

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, color: str = "auto") -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.color = color
        self._status: Status | None = None

    def to(self, out: TextIO) -> "Renderer":
        """The same renderer with its answers going elsewhere (a pipe or a file)."""
        return Renderer(out, self.err, self.color)

    def answering(self, name: str, together: Sequence[str] | None) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002
        """What is shown and told within answers the command `name`, one by one or `together` (kinds of records)."""
        # A person is shown each as it comes.
        return contextlib.nullcontext()

    def show(self, result: Result) -> None:
        """Write one answer at once, so that a reader sees each as it comes."""
        self.end_progress()
        self.out.write(as_text(result, self._painter(self.out)))
        self.out.flush()

    def error(self, error: MCluError, place: str = "") -> None:
        """One line about what went wrong: `mclu: PLACE: FACT; REMEDY`, behind the place in a script that met it."""
        self.end_progress()
        message = f"mclu: {place}: {error}" if place else f"mclu: {error}"
        # Where it cannot be told, the exit status still tells.
        with contextlib.suppress(OSError):
            self.err.write(self._painter(self.err)(printable(message, "\n"), "bad") + "\n")
            self.err.flush()

    def interrupted(self, place: str = "") -> None:  # noqa: ARG002
        """The user has interrupted what runs, and knows it."""
        self.end_progress()

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
        # As rich's own text, others' words are not read as its markup.
        from rich.text import Text as RichText

        self._status.update(RichText(printable(words), no_wrap=True, overflow="ellipsis"))

    def end_progress(self) -> None:
        """Take away what `progress` has shown."""
        if self._status is not None:
            self._status.stop()
            # An interrupt in the middle of that would leave the terminal without one.
            self._status.console.show_cursor()
            self._status = None

    def _painter(self, stream: TextIO) -> Callable[[str, str], str]:
        wanted = self.color == "always" or (self.color == "auto" and stream.isatty())
        return paint if wanted else _unpainted


def as_text(result: Result, painter: Callable[[str, str], str] = _unpainted) -> str:
    """The lines of a result, each ended by a newline."""
    match result:
        case Text():
            return printable(result.text, "\n\t") + "\n" if result.text else ""
        case Entry():
            head = f"{printable(result.name)} {painter(printable(result.state), result.tone)}"
            return "".join(line + "\n" for line in (head, *(f"  {printable(line)}" for line in result.details)))
        case Table():
            return _table(result.rows, painter)
        case _:
            return ""


def _table(rows: tuple[Row, ...], painter: Callable[[str, str], str]) -> str:
    """Columns as wide as their widest cell, two blanks between them, none at the end of a line."""
    count = max((len(row.cells) for row in rows), default=0)
    padded = [(*map(printable, row.cells), *[""] * (count - len(row.cells))) for row in rows]
    widths = [max(len(cells[i]) for cells in padded) for i in range(count)]
    lines = []
    for row, cells in zip(rows, padded, strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        lines.append(painter(line, row.tone) + "\n")
    return "".join(lines)
