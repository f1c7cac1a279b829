"""Lines on a terminal that are redrawn in place."""

import re
from collections.abc import Sequence
from typing import TextIO

from mclu_shell.output import style
from mclu_shell.output.text_width import truncated, width

_SGR = re.compile(r"(\x1b\[[0-9;]*m)")
_NO_SGR = "\x1b[0m"
# ECMA-48: erase to the end of the line, and to the end of the screen.
_ERASE_LINE, _ERASE_REST = "\x1b[K", "\x1b[J"
_CLEAR = "\x1b[H\x1b[2J"


class LiveScreen:
    """Lines at the cursor, of which the last is a hint. Each drawing is one write, without an erased screen in between.

    Neither the cursor is hidden nor the alternate screen used, so that a killed program leaves a good terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._glyphs = style.glyphs(stream)
        self._drawn: list[str] = []
        self._columns = 0

    def draw(self, lines: Sequence[str], hint: str) -> None:
        """Replace the lines; write nothing if they are unchanged."""
        columns, rows = style.terminal_size(self._stream)
        fitted = [fit(line, columns, self._glyphs.ellipsis) for line in self._cut([*lines, hint], rows)]
        if (fitted, columns) != (self._drawn, self._columns):
            ends = [_ERASE_LINE if _width(line) < columns else "" for line in fitted]
            text = "\n".join(f"{line}{end}" for line, end in zip(fitted, ends, strict=True))
            self._write(f"{self._home(columns)}{text}{_ERASE_REST}")
            self._drawn, self._columns = fitted, columns

    def close(self) -> None:
        """Remove the hint and leave the other lines, with the cursor below them."""
        self._write(f"\r{_ERASE_LINE}" if self._drawn else "")
        self._drawn = []

    def _cut(self, lines: Sequence[str], rows: int) -> Sequence[str]:
        """Cut lines that are too many, except the last."""
        if len(lines) <= rows:
            return lines
        shown = max(0, rows - 2)
        return [*lines[:shown], f"{self._glyphs.ellipsis} {len(lines) - 1 - shown} more", lines[-1]][-rows:]

    def _home(self, columns: int) -> str:
        """Return the movement to the first line."""
        if not self._drawn:
            return ""
        if columns != self._columns:
            # Some terminals wrap their lines again, and some do not, so the first line may be anywhere.
            return _CLEAR
        up = len(self._drawn) - 1
        return f"\r\x1b[{up}A" if up else "\r"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def fit(line: str, columns: int, ellipsis: str) -> str:
    """Return a line with colours cut to a width."""
    if _width(line) <= columns:
        return line
    parts, left = [], columns
    for part in _SGR.split(line):
        if _SGR.fullmatch(part):
            parts.append(part)
        elif width(part) < left:
            parts.append(part)
            left -= width(part)
        else:
            # More follows, so the ellipsis must fit, too.
            return "".join([*parts, truncated(part + ellipsis, left, ellipsis), _NO_SGR])
    return "".join(parts)


def _width(line: str) -> int:
    return width(_SGR.sub("", line))
