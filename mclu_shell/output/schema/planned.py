"""What a dry run tells (-n)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from mclu_shell.output.schema.destroyed import DeletedFile, KeptFile, deleted_files, kept_files
from mclu_shell.output.schema.record import Record, position

if TYPE_CHECKING:
    from mclu_shell.cloud.dryrun.planned import Planned


@dataclass(frozen=True, slots=True)
class PlannedRecord(Record):
    """What would be done, were it not a dry run."""

    KIND: ClassVar = "planned"

    verb: Annotated[str, "what, as one says it"]
    node: Annotated[str | None, "to which node, or to a guest of which one"]
    guest: Annotated[str | None, "to which guest"]
    how: Annotated[str | None, "how, in words for a person"]
    path: Annotated[str | None, "the file that would be written: a new guest's disk on its node, or what `>` names"]
    memory_bytes: Annotated[int | None, "memory of a new guest"]
    vcpus: Annotated[int | None, "its virtual CPUs, if that is known before its node is up"]
    size_bytes: Annotated[int | None, "the size that was asked for, of its disk"]
    mac: Annotated[str | None, "the address that a magic packet would name"]
    accel: Annotated[str | None, "how its CPUs would run: `kvm` or `tcg`; null for any other hypervisor"]
    accel_reason: Annotated[str | None, "why it would run without KVM, or why KVM could not be tested"]
    deleted: Annotated[tuple[DeletedFile, ...], "files that would go with a guest"]
    kept: Annotated[tuple[KeptFile, ...], "files that it has, and that would stay"]
    file: Annotated[str | None, "the script that would do it"] = None
    line: Annotated[int | None, "the line there, from 1"] = None


def planned_record(planned: "Planned") -> PlannedRecord:
    """What would be done, as a program sees it."""
    return PlannedRecord(
        planned.verb,
        planned.node or None,
        planned.guest or None,
        planned.how or None,
        path=planned.path or None,
        memory_bytes=planned.memory_bytes,
        vcpus=planned.vcpus,
        size_bytes=planned.size_bytes,
        mac=planned.mac or None,
        accel=planned.accel or None,
        accel_reason=planned.accel_reason or None,
        deleted=deleted_files(planned.delete),
        kept=kept_files(planned.keep),
    )


def placed_record(make: Callable[[], Record], place: str) -> Record:
    """The same, with FILE:LINE of the script that would do it."""
    record, (file, line) = make(), position(place)
    return replace(record, file=file, line=line) if isinstance(record, PlannedRecord) else record
