"""Records of errors."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.errors import ConfigError, Interrupted, MCluError, UsageError
from mclu_shell.output.schema.record import Record, position


@dataclass(frozen=True, slots=True)
class Error(Record):
    """An error, with its remedy."""

    KIND: ClassVar = "error"
    PLURAL: ClassVar = "errors"

    error: Annotated[str, "kind of the error: one of the words below"]
    place: Annotated[str | None, "node, template or file that it concerns"]
    fact: Annotated[str, "what is wrong: a text for people, which may change"]
    remedy: Annotated[str | None, "what to do about it: a text for people, which may change"]
    status: Annotated[int, "exit status that it causes"]
    file: Annotated[str | None, "script or configuration file that contains it"] = None
    line: Annotated[int | None, "line number in the file, from 1"] = None
    guest: Annotated[str | None, "guest that it concerns, if it concerns a single one"] = None


def error_record(error: MCluError, place: str = "") -> Error:
    """Return the record of an error; `place` is FILE:LINE of the script in which it occurred."""
    file, line = position(place or (error.place if isinstance(error, UsageError | ConfigError | Interrupted) else ""))
    if file is None and isinstance(error, ConfigError):
        file = error.place
    fact = "\n  ".join((error.fact, *error.details))
    return Error(
        error.code, error.place or None, fact, error.remedy or None, error.status, file, line, error.guest or None
    )
