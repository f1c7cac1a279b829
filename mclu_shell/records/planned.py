"""What a dry run tells (-n)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from mclu_shell.records import Record, position

if TYPE_CHECKING:
    from mclu_shell.cloud.planned import Planned


@dataclass(frozen=True, slots=True)
class PlannedRecord(Record):
    """What would be done, were it not a dry run."""

    KIND: ClassVar = "planned"

    verb: Annotated[str, "what, as one says it"]
    node: Annotated[str | None, "to which node, or to a guest of which one"]
    guest: Annotated[str | None, "to which guest"]
    how: Annotated[str | None, "how, in words for a person"]
    details: Annotated[tuple[str, ...], "what more would be done at once, such as files that go, in such words, too"]
    file: Annotated[str | None, "the script that would do it"] = None
    line: Annotated[int | None, "the line there, from 1"] = None


def planned_record(planned: "Planned") -> PlannedRecord:
    """What would be done, as a program sees it."""
    return PlannedRecord(
        planned.verb, planned.node or None, planned.guest or None, planned.how or None, planned.details
    )


def placed_record(make: Callable[[], Record], place: str) -> Record:
    """The same, with FILE:LINE of the script that would do it."""
    record, (file, line) = make(), position(place)
    return replace(record, file=file, line=line) if isinstance(record, PlannedRecord) else record
