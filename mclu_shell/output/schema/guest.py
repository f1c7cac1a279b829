"""A guest, as `list` tells of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mclu_shell.output.schema.record import Record, Time, iso_time

if TYPE_CHECKING:
    from mclu_shell.cloud.state.guest import Guest


@dataclass(frozen=True, slots=True)
class GuestRecord(Record):
    """A guest on a node."""

    PLURAL: ClassVar = "guests"

    node: Annotated[str, "where it is"]
    name: Annotated[str, "its name there"]
    uuid: Annotated[str, "by which libvirt knows it"]
    state: Annotated[str, "in virsh's words: `running`, `paused`, `shut off`, …"]
    memory_bytes: Annotated[int, "memory that it may use at most"]
    vcpus: Annotated[int, "virtual CPUs"]
    addresses: Annotated[tuple[str, ...], "its IP addresses, as far as they are known"]
    as_of: Annotated[Time | None, "when that was so, if it is only remembered; null if the node has just said it"] = (
        None
    )


def guest_record(guest: "Guest", seen_at: float | None = None) -> GuestRecord:
    """A guest; `seen_at` (of `time.time`) is when it was like this, if that is only remembered."""
    return GuestRecord(
        guest.node,
        guest.name,
        guest.uuid,
        guest.state,
        guest.memory_bytes,
        guest.vcpus,
        guest.addresses,
        as_of=iso_time(seen_at),
    )
