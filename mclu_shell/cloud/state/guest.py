"""Records of what libvirt says: a guest, and a node's resources. Never live libvirt handles."""

from typing import NamedTuple

# In virsh's words; `idle` is Xen's.
RUNS = ("running", "idle")


class Guest(NamedTuple):
    """A guest on a node. `state` is virsh's word for it; memory is what it may use at most."""

    node: str
    name: str
    uuid: str
    state: str
    memory_bytes: int
    vcpus: int
    addresses: tuple[str, ...] = ()

    @property
    def is_active(self) -> bool:
        """Whether it holds memory on its node: anything but shut off or crashed."""
        return is_active_state(self.state)


def is_active_state(state: str) -> bool:
    """Whether a guest in this state (in virsh's words) holds memory on its node."""
    return state not in ("shut off", "crashed", "no state")


class NodeInfo(NamedTuple):
    """What a node has: physical CPUs, memory in all, and memory that could be given away now."""

    pcpus: int
    memory_bytes: int
    available_bytes: int


class NodeReport(NamedTuple):
    """A node's resources and all its guests, asked for in one go."""

    info: NodeInfo
    guests: tuple[Guest, ...]

    @property
    def running(self) -> tuple[Guest, ...]:
        """The guests that hold memory."""
        return tuple(guest for guest in self.guests if guest.is_active)

    @property
    def used_bytes(self) -> int:
        """The memory that the running guests may use."""
        return sum(guest.memory_bytes for guest in self.running)

    @property
    def used_vcpus(self) -> int:
        """The virtual CPUs of the running guests."""
        return sum(guest.vcpus for guest in self.running)

    @property
    def free_bytes(self) -> int:
        """What a new guest can really have: available, and not promised to a running guest."""
        return max(0, min(self.info.available_bytes, self.info.memory_bytes - self.used_bytes))


class GuestEvent(NamedTuple):
    """Something that has happened to a guest: its new state, or None where that has to be asked for."""

    uuid: str
    name: str
    state: str | None
