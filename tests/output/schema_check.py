"""Checks of -o json output against the documented schema."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from mclu_shell.command_loader import command_names, load_command
from mclu_shell.output import schema
from mclu_shell.output.json_renderer import JSONRenderer
from mclu_shell.output.results import Entry, Result, Row, Table, Text
from mclu_shell.output.schema.record import Record, Time

Object = dict[str, Any]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def read(out: str) -> list[Object]:
    """Return the objects of an output, after checking each."""
    assert not out or out.endswith("\n")
    assert out.isascii()
    answers = [json.loads(line) for line in out.splitlines()]
    for answer in answers:
        check(answer)
    return answers


def read_one(out: str) -> Object:
    """Return the only object of an output."""
    (answer,) = read(out)
    return answer


def check(answer: Object) -> None:
    """Assert that an object is a documented line or document."""
    kind, rest = next(iter(answer)), {key: value for key, value in answer.items() if key != "kind"}
    assert kind == "kind"
    if answer["kind"] in lines():
        check_record(rest, lines()[answer["kind"]])
        return
    command = None if answer["kind"] == "errors" else load_command(answer["kind"])
    assert command is None or command.document is not None
    keys = (*(command.document if command and command.document else ()), "errors")
    assert tuple(rest) == keys
    for key in keys:
        for one in rest[key]:
            check_record(one, plurals()[key])


def check_record(value: object, record: type[Record]) -> None:
    """Assert that a value has the keys of a record, with values of their types."""
    assert isinstance(value, dict)
    assert list(value) == [field.name for field in fields(record)], record  # type: ignore[arg-type]
    for name, hint in get_type_hints(record).items():
        if name in value:
            assert fits(value[name], hint), f"{record.__name__}.{name}: {value[name]!r}"


def fits(value: object, hint: Any) -> bool:
    """Return whether a JSON value has a type."""
    if isinstance(hint, UnionType) or NoneType in get_args(hint):
        return any(fits(value, one) for one in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, list) and all(fits(one, get_args(hint)[0]) for one in value)
    if hint is Time:
        return isinstance(value, str) and bool(TIME.fullmatch(value))
    if isinstance(hint, type) and issubclass(hint, Record):
        check_record(value, hint)
        return True
    # In Python, true is an integer.
    return type(value) is hint


@cache
def lines() -> dict[str, type[Record]]:
    """Return the records that come as lines, by their kind."""
    return {record.KIND: record for record in _records() if record.KIND}


@cache
def plurals() -> dict[str, type[Record]]:
    """Return the records that stand in documents, by the key that holds them."""
    return {record.PLURAL: record for record in _records() if record.PLURAL}


def _records() -> Iterator[type[Record]]:
    for info in iter_modules(schema.__path__):
        module = import_module(f"{schema.__name__}.{info.name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Record) and value.__module__ == module.__name__:
                yield value


def promised() -> set[tuple[str, str]]:
    """Return each command with each kind of record that its module declares."""
    loaded = [load_command(name) for name in command_names()]
    return {(command.name, kind) for command in loaded for kind in (*(command.document or ()), *command.lines)}


def commands_with_dry_run() -> set[str]:
    """Return the commands that write `planned` records in a dry run."""
    return {name for name in command_names() if load_command(name).dry_run and load_command(name).lines}


def words_of(errors: list[Object]) -> list[str]:
    """Return the codes of error records."""
    return [error["error"] for error in errors]


class Strict(JSONRenderer):
    """A renderer that counts results without a record, such as headings."""

    headings = 0

    def show(self, result: Result) -> None:
        if not (isinstance(result, Text | Entry | Table) and has_data(result)):
            Strict.headings += 1
        super().show(result)


def has_data(shown: Text | Entry | Table | Row) -> bool:
    return shown.data is not None or (isinstance(shown, Table) and all(map(has_data, shown.rows)))
