"""The layout of a table on a terminal: headings, aligned columns, and no line wider than the terminal."""

from collections.abc import Sequence
from itertools import zip_longest

from mclu_shell.output.results import Heading, Row, Table
from mclu_shell.output.style import Look
from mclu_shell.output.text_width import padded, truncated, width

_GAP = "  "
_NO_HEADING = Heading("")


def table_lines(table: Table, look: Look, columns: int) -> list[str]:
    """Return the lines of a table of printable cells; its longest columns are cut until it fits into `columns`.

    A table without rows has no headings.
    """
    if not table.rows:
        return []
    headings = table.headings
    heading_rows = [Row(tuple(heading.text for heading in headings), tone="heading")] if headings else []
    rows = [*heading_rows, *table.rows]
    cells = [row.cells for row in rows]
    widths = [max(map(width, column)) for column in zip_longest(*cells, fillvalue="")]
    _shrink(widths, columns - len(_GAP) * (len(widths) - 1))
    return [_line(row, headings, widths, look) for row in rows]


def _shrink(widths: list[int], columns: int) -> None:
    """Cut the widest columns until their sum fits."""
    while (surplus := sum(widths) - columns) > 0 and (widest := max(widths, default=0)) > 1:
        index = widths.index(widest)
        others = [width for i, width in enumerate(widths) if i != index]
        widths[index] = max(1, widest - surplus, min(widest - 1, max(others, default=1)))


def _line(row: Row, headings: Sequence[Heading], widths: Sequence[int], look: Look) -> str:
    """Return a row; its tone is that of one column, or of the line."""
    is_toned = any(heading.is_toned for heading in headings) and row.tone != "heading"
    parts = []
    for cell, columns, heading in zip_longest(row.cells, widths, headings):
        heading = heading or _NO_HEADING
        text = padded(truncated(cell or "", columns, look.glyphs.ellipsis), columns, is_right=heading.is_right)
        # Trailing blanks of a coloured cell stay outside of its colour.
        word = text.strip()
        parts.append(text.replace(word, look.painter(word, row.tone), 1) if is_toned and heading.is_toned else text)
    line = _GAP.join(parts).rstrip()
    return line if is_toned else look.painter(line, row.tone)
