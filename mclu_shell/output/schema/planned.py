"""Records of a dry run (-n)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from mclu_shell.output.schema.destroyed import DeletedFile, KeptFile, deleted_files, kept_files
from mclu_shell.output.schema.record import Record, position

if TYPE_CHECKING:
    from mclu_shell.cloud.dryrun.planned import Planned


@dataclass(frozen=True, slots=True)
class PlannedRecord(Record):
    """An action that a dry run did not carry out."""

    KIND: ClassVar = "planned"

    verb: Annotated[str, "action, such as `destroy` or `wait for`"]
    node: Annotated[str | None, "node that it concerns, or node of the guest"]
    guest: Annotated[str | None, "guest that it concerns"]
    how: Annotated[str | None, "details: a text for people, which may change"]
    path: Annotated[str | None, "file that would be written: a new guest's disk on its node, or the target of `>`"]
    memory_bytes: Annotated[int | None, "memory of the new guest"]
    vcpus: Annotated[int | None, "virtual CPUs of the new guest, if known before its node is up"]
    size_bytes: Annotated[int | None, "requested disk size of the new guest"]
    mac: Annotated[str | None, "MAC address of the magic packet"]
    accel: Annotated[str | None, "CPU virtualization: `kvm` or `tcg`; null with another hypervisor"]
    accel_reason: Annotated[str | None, "why KVM would not be used, or could not be tested"]
    deleted: Annotated[tuple[DeletedFile, ...], "files that would be deleted with the guest"]
    kept: Annotated[tuple[KeptFile, ...], "files that would be kept"]
    state: Annotated[tuple[str, ...], "what libvirt would delete with the guest: `saved memory`, `snapshot NAME`, …"]
    file: Annotated[str | None, "script that contains the command"] = None
    line: Annotated[int | None, "line number in the script, from 1"] = None


def planned_record(planned: "Planned") -> PlannedRecord:
    """Return the record of a planned action."""
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
        state=planned.state,
    )


def with_position(make: Callable[[], Record], place: str) -> Record:
    """Return the record with the position (FILE:LINE) of the command in its script."""
    record, (file, line) = make(), position(place)
    return replace(record, file=file, line=line) if isinstance(record, PlannedRecord) else record
