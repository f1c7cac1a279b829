"""The columns of guests in `list`."""

from typing import NamedTuple

from mclu_shell.cloud.state.guest import CRASHED, RUNS, SHUT_OFF, Guest
from mclu_shell.cloud.state.snapshot import NodeView
from mclu_shell.output.tables.column import Column, Columns
from mclu_shell.units import format_age, format_size

_TONES = {**dict.fromkeys(RUNS, "good"), SHUT_OFF: "quiet", CRASHED: "bad"}


class ListedGuest(NamedTuple):
    """A guest with its template, if known; `cached` is the view that it comes from if its node does not answer."""

    guest: Guest
    template: str = ""
    cached: NodeView | None = None

    @property
    def tone(self) -> str:
        """The tone of its state."""
        return "quiet" if self.cached else _TONES.get(self.guest.state, "warning")

    @property
    def name(self) -> str:
        """The name with that of the node."""
        return f"{self.guest.node}:{self.guest.name}"

    @property
    def age(self) -> str:
        """The age of cached data; empty if the node has just answered."""
        return f"{format_age(self.cached.age_s)} ago" if self.cached else ""


GUEST_COLUMNS: Columns[ListedGuest] = (
    Column("guest", lambda item: item.name),
    Column("node", lambda item: item.guest.node, is_hidden=True),
    Column("state", lambda item: str(item.guest.condition), tone=lambda item: item.tone),
    Column(
        "memory",
        lambda item: format_size(item.guest.memory_bytes),
        lambda item: item.guest.memory_bytes,
        is_number=True,
    ),
    Column("vcpus", lambda item: str(item.guest.vcpus), lambda item: item.guest.vcpus, is_number=True),
    Column("address", lambda item: " ".join(item.guest.addresses)),
    Column("template", lambda item: item.template),
    Column("seen", lambda item: item.age, lambda item: item.cached.age_s if item.cached else 0.0, is_optional=True),
)
