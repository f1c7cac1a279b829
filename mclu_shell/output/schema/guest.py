"""Records of guests."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mclu_shell.output.schema.record import Record, Time, iso_time

if TYPE_CHECKING:
    from mclu_shell.cloud.state.guest import Guest


@dataclass(frozen=True, slots=True)
class GuestRecord(Record):
    """A guest on a node."""

    PLURAL: ClassVar = "guests"

    node: Annotated[str, "node of the guest"]
    name: Annotated[str, "name on the node"]
    uuid: Annotated[str, "libvirt's UUID of the guest"]
    state: Annotated[str, "libvirt's state, as virsh shows it: `running`, `paused`, `shut off`, …"]
    memory_bytes: Annotated[int, "maximum memory"]
    vcpus: Annotated[int, "number of virtual CPUs"]
    reason: Annotated[str | None, "why it is in this state, if that matters: `I/O error`, `panicked`, `saved`, …"]
    addresses: Annotated[tuple[str, ...], "IP addresses, if known"]
    as_of: Annotated[Time | None, "time of the data if it is cached; null if the node has just answered"] = None


def guest_record(guest: "Guest", seen_at: float | None = None) -> GuestRecord:
    """Return the record of a guest; `seen_at` (seconds since the epoch) is the time of cached data."""
    return GuestRecord(
        guest.node,
        guest.name,
        guest.uuid,
        guest.state,
        guest.memory_bytes,
        guest.vcpus,
        guest.reason or None,
        guest.addresses,
        as_of=iso_time(seen_at),
    )
