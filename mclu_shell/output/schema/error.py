"""What went wrong, for a program to decide by."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.errors import ConfigError, Interrupted, MCluError, UsageError
from mclu_shell.output.schema.record import Record, position


@dataclass(frozen=True, slots=True)
class Error(Record):
    """What went wrong, and what to do about it."""

    KIND: ClassVar = "error"
    PLURAL: ClassVar = "errors"

    error: Annotated[str, "its kind: one of the words below"]
    place: Annotated[str | None, "the node, the template or the file that it is about"]
    fact: Annotated[str, "what is wrong, in words for a person, which may change"]
    remedy: Annotated[str | None, "what helps, in such words, too"]
    status: Annotated[int, "the exit status that it leads to"]
    file: Annotated[str | None, "the script or the mclu.conf that it is in"] = None
    line: Annotated[int | None, "the line there, from 1"] = None


def error_record(error: MCluError, place: str = "") -> Error:
    """An error as a program sees it; `place` is FILE:LINE of the script that met it."""
    file, line = position(place or (error.place if isinstance(error, UsageError | ConfigError | Interrupted) else ""))
    if file is None and isinstance(error, ConfigError):
        file = error.place
    return Error(error.code, error.place or None, error.fact, error.remedy or None, error.status, file, line)
