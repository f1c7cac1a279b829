"""The base class of JSON records. docs/json.md is generated from their docstrings and annotations."""

import re
import time
from typing import ClassVar, NewType

# ISO 8601, in UTC: 2026-11-22T18:04:05Z.
Time = NewType("Time", str)

_LINE = re.compile(r"(?:line |(.+):)(\d+)", re.DOTALL)


def iso_time(seconds: float | None) -> Time | None:
    """Convert seconds since the epoch; None stays None."""
    return None if seconds is None else Time(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)))


class Record:
    """A JSON object. All its keys are always present, with null for unknown values."""

    __slots__ = ()

    # The `kind` of a record that is written as a line, and the key of its list in a document; either may be empty.
    KIND: ClassVar[str] = ""
    PLURAL: ClassVar[str] = ""


def position(place: str) -> tuple[str | None, int | None]:
    """Return the file and line of "FILE:LINE" or "line LINE"; None for each part that is missing."""
    match = _LINE.fullmatch(place)
    return (match[1], int(match[2])) if match else (None, None)
