"""Records of destroyed guests and their files."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mclu_shell.output.schema.record import Record

if TYPE_CHECKING:
    from mclu_shell.cloud.guests.destroy_plan import DestroyPlan
    from mclu_shell.cloud.state.guest import Guest


@dataclass(frozen=True, slots=True)
class DeletedFile(Record):
    """A file that is deleted with its guest."""

    path: Annotated[str, "path on the node"]
    size_bytes: Annotated[int, "disk space that it occupies"]


@dataclass(frozen=True, slots=True)
class KeptFile(Record):
    """A file that is kept when its guest is destroyed."""

    path: Annotated[str, "path on the node"]
    reason: Annotated[str, "why it is kept"]


@dataclass(frozen=True, slots=True)
class Destroyed(Record):
    """A guest was destroyed."""

    KIND: ClassVar = "destroyed"

    node: Annotated[str, "node of the guest"]
    guest: Annotated[str, "name of the guest"]
    deleted: Annotated[tuple[DeletedFile, ...], "files that were deleted"]
    kept: Annotated[tuple[KeptFile, ...], "files that were kept"]
    state: Annotated[tuple[str, ...], "what libvirt deleted with the guest: `saved memory`, `snapshot NAME`, …"]


@dataclass(frozen=True, slots=True)
class Declined(Record):
    """A guest was not destroyed, because the user did not confirm it."""

    KIND: ClassVar = "declined"

    node: Annotated[str, "node of the guest"]
    guest: Annotated[str, "name of the guest"]


def destroyed_record(guest: "Guest", plan: "DestroyPlan") -> Destroyed:
    """Return the record of a destroyed guest."""
    return Destroyed(guest.node, guest.name, deleted_files(plan.all_deleted), kept_files(plan.keep), plan.state)


def deleted_files(files: Iterable[tuple[str, int]]) -> tuple[DeletedFile, ...]:
    """Return the records of (path, size in bytes)."""
    return tuple(DeletedFile(path, size_bytes) for path, size_bytes in files)


def kept_files(files: Iterable[tuple[str, str]]) -> tuple[KeptFile, ...]:
    """Return the records of (path, reason)."""
    return tuple(KeptFile(path, why) for path, why in files)
