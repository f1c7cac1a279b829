"""What mclu tells programs (-o json): frozen records, whose fields say what they mean. docs/json.md is made of them."""

import re
import time
from typing import ClassVar, NewType

# ISO 8601, in UTC: 2026-11-22T18:04:05Z.
Time = NewType("Time", str)

_LINE = re.compile(r"(?:line |(.+):)(\d+)", re.DOTALL)


def iso_time(seconds: float | None) -> Time | None:
    """A time of `time.time`; None stays None."""
    return None if seconds is None else Time(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)))


class Record:
    """One thing as a program sees it. All its fields are always there, null where there is nothing to tell."""

    __slots__ = ()

    # What a line calls it, if it may come as a line; and what a document calls several, if it may be in one.
    KIND: ClassVar[str] = ""
    PLURAL: ClassVar[str] = ""


def position(place: str) -> tuple[str | None, int | None]:
    """The file and the line of FILE:LINE, or the line of "line LINE"; None for what it does not tell."""
    found = _LINE.fullmatch(place)
    return (found[1], int(found[2])) if found else (None, None)
