"""Records of guests and of nodes' resources, without libvirt handles."""

from typing import NamedTuple

# In virsh's words. Only Xen has `idle`.
RUNS = ("running", "idle")
PAUSED, SHUT_OFF, CRASHED, SUSPENDED = "paused", "shut off", "crashed", "pmsuspended"
# Reasons for states: a full or broken disk pauses a guest; the memory of a stopped guest is saved.
IO_ERROR, SAVED = "I/O error", "saved"


class Condition(NamedTuple):
    """A guest's state and the reason for it, in virsh's words; the reason is empty if it matters to no user."""

    state: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.state} ({self.reason})" if self.reason else self.state

    @property
    def is_active(self) -> bool:
        """True if the guest uses memory of its node."""
        return is_active_state(self.state)


class Guest(NamedTuple):
    """A guest on a node; `state` is in virsh's words, and `memory_bytes` the maximum."""

    node: str
    name: str
    uuid: str
    state: str
    memory_bytes: int
    vcpus: int
    addresses: tuple[str, ...] = ()
    reason: str = ""

    @property
    def condition(self) -> Condition:
        """The state with its reason."""
        return Condition(self.state, self.reason)

    @property
    def is_active(self) -> bool:
        """True if the guest uses memory of its node; a crashed one that libvirt preserves does."""
        return is_active_state(self.state)


def is_active_state(state: str) -> bool:
    """Return whether a guest in this state (in virsh's words) uses memory of its node."""
    return state != SHUT_OFF


class NodeInfo(NamedTuple):
    """The resources of a node: physical CPUs, total memory, and memory available now."""

    pcpus: int
    memory_bytes: int
    available_bytes: int


class NodeReport(NamedTuple):
    """A node's resources and all its guests, from one query."""

    info: NodeInfo
    guests: tuple[Guest, ...]

    @property
    def running(self) -> tuple[Guest, ...]:
        """The guests that use memory."""
        return tuple(guest for guest in self.guests if guest.is_active)

    @property
    def halted(self) -> tuple[Guest, ...]:
        """The guests that use memory, but do not run: paused, crashed or suspended."""
        return tuple(guest for guest in self.running if guest.state not in (*RUNS, "in shutdown"))

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
        """The memory for a new guest: available, and not promised to a running guest."""
        return max(0, min(self.info.available_bytes, self.info.memory_bytes - self.used_bytes))


class GuestEvent(NamedTuple):
    """An event of a guest with its new state; None if the state must be queried."""

    uuid: str
    name: str
    state: str | None
