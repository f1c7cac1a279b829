"""The JSON renderer (-o json): one object with a `kind` per line, as described in docs/json.md."""

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
    """Writes results and errors as JSON to `out`; errors and progress also go to `err` as text."""

    is_data = True

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None, color: str = "auto") -> None:
        super().__init__(out, err, color)
        # The document of the current command, if it has one, and its name.
        self._document: _Document | None = None
        self._name = ""
        # Collects or writes the records of the current command.
        self._take: Callable[[Record], None] = self._write_error_document

    def to(self, out: TextIO) -> "JSONRenderer":
        """Return the same renderer with another output."""
        return JSONRenderer(out, self.err, self.color)

    @contextlib.contextmanager
    def frame(self, name: str, kinds: Sequence[str] | None) -> Iterator[None]:
        """Write one document at the end, with the record kinds in `kinds`; or, if None, a line per record.

        If a signal ends mclu, no document is written: half of one would look complete.
        """
        previous = self._take, self._document, self._name
        self._name = name
        self._document = None if kinds is None else {plural: [] for plural in (*kinds, Error.PLURAL)}
        self._take = self._write_line if self._document is None else partial(_put, self._document)
        try:
            yield
            self.end_answer()
        finally:
            self._take, self._document, self._name = previous

    def end_answer(self) -> None:
        """Write the document; a command with several answers writes one for each."""
        if self._document is not None:
            self._write({"kind": self._name, **self._document})
            for records in self._document.values():
                records.clear()

    @property
    def is_styled(self) -> bool:
        """False: JSON has no style."""
        return False

    @property
    def can_redraw(self) -> bool:
        """False: each answer is a document."""
        return False

    def show(self, result: Result) -> None:
        """Take the records of a result; headings have none."""
        self.end_progress()
        for record in _records(result):
            self._take(record)

    def error(self, error: MCluError, place: str = "") -> None:
        """Write the error as text and as a record."""
        super().error(error, place)
        self._take_error(error, place)

    def interrupted(self, place: str = "") -> None:
        """Add the error `interrupted`, which marks an incomplete answer."""
        super().interrupted(place)
        self._take_error(Interrupted("interrupted"), place)

    def _take_error(self, error: MCluError, place: str = "") -> None:
        # If stdout cannot be written, the exit status still shows the failure.
        with contextlib.suppress(OSError):
            self._take(error_record(error, place))

    def _write_error_document(self, record: Record) -> None:
        """Write an error that occurred before a command began."""
        self._write({"kind": "errors", "errors": [record]})

    def _write_line(self, record: Record) -> None:
        self._write({"kind": record.KIND, **_fields(record)})

    def _write(self, value: dict[str, object]) -> None:
        # ASCII is valid in every encoding, and JSON escapes control characters.
        self.out.write(json.dumps(value, default=_fields, ensure_ascii=True) + "\n")
        self.out.flush()


def _put(document: _Document, record: Record) -> None:
    document[record.PLURAL].append(record)


def _records(result: Result) -> Iterator[Record]:
    rows = result.rows if isinstance(result, Table) else ()
    for item in (result, *rows):
        if isinstance(item, Text | Entry | Table | Row) and item.data is not None:
            yield item.data()


def _fields(record: Record) -> dict[str, object]:
    return {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]
