"""The columns of tables: cells, order, and the choice of a user."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from mclu_shell.errors import UsageError
from mclu_shell.output.results import Heading, Row, Table

Item = TypeVar("Item")


class Column(NamedTuple, Generic[Item]):
    """A column, whose `name` is also its heading. Numbers are aligned to the right, and sorted the largest first.

    `key` is the sort key of an item, by default its cell; `tone` is the tone of its cell. An optional column appears
    only if a cell has text, and a hidden one only on request.
    """

    name: str
    cell: Callable[[Item], str]
    key: Callable[[Item], Any] | None = None
    is_number: bool = False
    tone: Callable[[Item], str] | None = None
    is_optional: bool = False
    is_hidden: bool = False

    @property
    def heading(self) -> Heading:
        """The heading of the column."""
        return Heading(self.name.upper(), is_right=self.is_number, is_toned=self.tone is not None)

    def sorted(self, items: Iterable[Item]) -> list[Item]:
        """Return the items in the order of this column."""
        return sorted(items, key=self.key or self.cell, reverse=self.is_number)


Columns = tuple[Column[Item], ...]


def column_names(*tables: Columns[Any]) -> tuple[str, ...]:
    """Return the names of the columns of tables, each once."""
    return tuple(dict.fromkeys(column.name for columns in tables for column in columns))


class View(NamedTuple):
    """A user's choice of columns and order, for a terminal (`is_styled`) or for programs."""

    sort: str | None
    columns: Sequence[str] | None
    is_styled: bool

    def check(self, columns: Columns[Any]) -> None:
        """Raise UsageError for a column that a table does not have."""
        for name in (*((self.sort,) if self.sort else ()), *(self.columns or ())):
            _find(columns, name)

    def sorted(self, items: Sequence[Item], columns: Columns[Item]) -> Sequence[Item]:
        """Return the items in the chosen order."""
        return items if self.sort is None else _find(columns, self.sort).sorted(items)

    def table(self, items: Sequence[Item], columns: Columns[Item], plain_row: Callable[[Item], Row]) -> Table:
        """Return a table of items; `plain_row` returns the row of an item for programs, and its record."""
        items = self.sorted(items, columns)
        if self.columns is None and not self.is_styled:
            return Table(tuple(map(plain_row, items)))
        chosen = self._choose(items, columns)
        tones = [column.tone for column in chosen if column.tone is not None]
        rows = (
            Row(
                tuple(column.cell(item) for column in chosen),
                tone=tones[0](item) if tones else "plain",
                data=plain_row(item).data,
            )
            for item in items
        )
        return Table(tuple(rows), headings=tuple(column.heading for column in chosen))

    def _choose(self, items: Sequence[Item], columns: Columns[Item]) -> Columns[Item]:
        if self.columns is not None:
            return tuple(_find(columns, name) for name in self.columns)
        return tuple(
            column
            for column in columns
            if not column.is_hidden and (not column.is_optional or any(map(column.cell, items)))
        )


def _find(columns: Columns[Item], name: str) -> Column[Item]:
    for column in columns:
        if column.name == name:
            return column
    raise UsageError(f"no column {name!r} here", remedy=f"there are {', '.join(column_names(columns))}")
