"""What became of a guest that was destroyed, and of its files."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mclu_shell.records import Record

if TYPE_CHECKING:
    from mclu_shell.cloud.destroy import Remains
    from mclu_shell.cloud.guest import Guest


@dataclass(frozen=True, slots=True)
class DeletedFile(Record):
    """A file on a node that is gone."""

    path: Annotated[str, "where it was"]
    size_bytes: Annotated[int, "what it took on the disk"]


@dataclass(frozen=True, slots=True)
class KeptFile(Record):
    """A file on a node that was a guest's, and is still there."""

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


def destroyed_record(guest: "Guest", remains: "Remains") -> Destroyed:
    """A guest that is gone, with what went and what stays."""
    deleted = tuple(DeletedFile(path, size_bytes) for path, size_bytes in remains.delete)
    return Destroyed(guest.node, guest.name, deleted, tuple(KeptFile(path, why) for path, why in remains.leave))
