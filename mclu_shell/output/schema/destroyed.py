"""What became of a guest that was destroyed, and of its files."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mclu_shell.output.schema.record import Record

if TYPE_CHECKING:
    from mclu_shell.cloud.guests.destroy_plan import DestroyPlan
    from mclu_shell.cloud.state.guest import Guest


@dataclass(frozen=True, slots=True)
class DeletedFile(Record):
    """A file on a node that goes with its guest."""

    path: Annotated[str, "where it is, or was"]
    size_bytes: Annotated[int, "what it takes on the disk, or took"]


@dataclass(frozen=True, slots=True)
class KeptFile(Record):
    """A file on a node that stays where its guest goes."""

    path: Annotated[str, "where it is"]
    reason: Annotated[str, "why it stays"]


@dataclass(frozen=True, slots=True)
class Destroyed(Record):
    """A guest is gone, with its data."""

    KIND: ClassVar = "destroyed"

    node: Annotated[str, "where the guest was"]
    guest: Annotated[str, "its name there"]
    deleted: Annotated[tuple[DeletedFile, ...], "files that went with it"]
    kept: Annotated[tuple[KeptFile, ...], "files that it had, and that stay"]


def destroyed_record(guest: "Guest", remains: "DestroyPlan") -> Destroyed:
    """A guest that is gone, with what went and what stays."""
    return Destroyed(guest.node, guest.name, deleted_files(remains.delete), kept_files(remains.keep))


def deleted_files(files: Iterable[tuple[str, int]]) -> tuple[DeletedFile, ...]:
    """Files that go, of which the sizes in bytes are given."""
    return tuple(DeletedFile(path, size_bytes) for path, size_bytes in files)


def kept_files(files: Iterable[tuple[str, str]]) -> tuple[KeptFile, ...]:
    """Files that stay, of which the reasons are given."""
    return tuple(KeptFile(path, why) for path, why in files)
