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
    """The resources of a node: physical CPUs, total memory, and memory available now.

    `promised_bytes` is what the running guests may use beyond the memory that they have touched so far, as far as that
    is known. `reserved_bytes` is for guests of boots in progress. Huge pages are a pool of their own, partly in use.
    """

    pcpus: int
    memory_bytes: int
    available_bytes: int
    promised_bytes: int = 0
    reserved_bytes: int = 0
    huge_pool_bytes: int = 0
    huge_used_bytes: int = 0


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
    def room_bytes(self) -> int:
        """The memory that neither runs out nor is promised to a running guest; docs/manual.md has the formula."""
        info = self.info
        # Guests on huge pages have their memory from the pool. Only the sum is known without their XML.
        promised = max(0, info.promised_bytes - info.huge_used_bytes)
        used = max(0, self.used_bytes - info.huge_used_bytes)
        return min(info.available_bytes - promised, info.memory_bytes - info.huge_pool_bytes - used)

    @property
    def free_bytes(self) -> int:
        """The memory for a new guest: the room, less what boots in progress have reserved."""
        return max(0, self.room_bytes - self.info.reserved_bytes)


class GuestEvent(NamedTuple):
    """An event of a guest with its new state; None if the state must be queried."""

    uuid: str
    name: str
    state: str | None
