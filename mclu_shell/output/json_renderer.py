"""Results onto streams as JSON: what -o json writes. Every line is one object with a `kind`; docs/json.md has them."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from typing import TextIO

from mclu_shell.errors import Interrupted, MCluError
from mclu_shell.output.results import Entry, Result, Row, Table, Text
from mclu_shell.output.schema.error import Error, error_record
from mclu_shell.output.schema.record import Record
from mclu_shell.output.text_renderer import Renderer

_Document = dict[str, list[Record]]


class JSONRenderer(Renderer):
    """Writes answers as JSON to `out`, the errors among them; a person is told errors and progress on `err` as ever."""

    is_data = True

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, color: str = "auto") -> None:
        super().__init__(out, err, color)
        # Takes the records of the command that runs.
        self._take: Callable[[Record], None] = self._take_alone

    def to(self, out: TextIO) -> "JSONRenderer":
        """The same renderer with its answers going elsewhere."""
        return JSONRenderer(out, self.err, self.color)

    @contextlib.contextmanager
    def answering(self, name: str, together: Sequence[str] | None) -> Iterator[None]:
        """Make one document of what a command answers, or a line of each record as it comes.

        Where mclu is made to end meanwhile, there is no document: half of one would look like all of it.
        """
        document: _Document = {plural: [] for plural in (*(together or ()), Error.PLURAL)}
        before = self._take
        self._take = self._take_line if together is None else partial(_put, document)
        try:
            yield
        finally:
            self._take = before
        if together is not None:
            self._write({"kind": name, **document})

    def show(self, result: Result) -> None:
        """Take what a result is to a program; headings are nothing to it."""
        self.end_progress()
        for record in _records(result):
            self._take(record)

    def error(self, error: MCluError, place: str = "") -> None:
        """Tell it to the person, too."""
        super().error(error, place)
        self._take_error(error, place)

    def interrupted(self, place: str = "") -> None:
        """Say that the answer is not whole."""
        super().interrupted(place)
        self._take_error(Interrupted("interrupted"), place)

    def _take_error(self, error: MCluError, place: str = "") -> None:
        # Where it cannot be told, the exit status still tells.
        with contextlib.suppress(OSError):
            self._take(error_record(error, place))

    def _take_alone(self, record: Record) -> None:
        """An error before there is a command."""
        self._write({"kind": "errors", "errors": [record]})

    def _take_line(self, record: Record) -> None:
        self._write({"kind": record.KIND, **_fields(record)})

    def _write(self, value: dict[str, object]) -> None:
        # What can be printed of ASCII is right in every encoding, and holds nothing that a terminal would obey.
        self.out.write(json.dumps(value, default=_fields, ensure_ascii=True) + "\n")
        self.out.flush()


def _put(document: _Document, record: Record) -> None:
    document[record.PLURAL].append(record)


def _records(result: Result) -> Iterator[Record]:
    rows = result.rows if isinstance(result, Table) else ()
    for shown in (result, *rows):
        if isinstance(shown, Text | Entry | Table | Row) and shown.data is not None:
            yield shown.data()


def _fields(record: Record) -> dict[str, object]:
    return {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]
