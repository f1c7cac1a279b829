"""The last known state of one node, updated by query results and events, and read without a lock."""

import threading
import time
from collections.abc import Callable, Mapping

from mclu_shell.cloud.state.guest import Guest, GuestEvent, NodeReport, is_active_state
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase

# In characters: the toolbar and alerts show the reason, in which a node may have a part.
_LONGEST_REASON = 500
# libvirtd may invent guests. The poll after an event is newer anyway.
_MOST_EVENT_STATES = 10_000
# Called after each change with the previous and the new view, by the thread that makes it. It must not block.
Listener = Callable[[NodeView, NodeView], None]


class NodeStore:
    """The view of a node: an immutable record that each update replaces."""

    def __init__(self, name: str) -> None:
        self.view = NodeView(name, NodeState(Phase.UNSEEN, time.monotonic()))
        self.listener: Listener | None = None
        # The number of events so far: the result of a query is older than the events that came since its start.
        self.event_count = 0
        # By UUID: the number of a guest's last event with a state, and the state.
        self._event_states: dict[str, tuple[int, str]] = {}
        self._lock = threading.Lock()

    def set_state(self, phase: Phase, why: str = "") -> None:
        """Set the node's phase, and the reason for it."""
        why = why[:_LONGEST_REASON]
        with self._lock:
            if (phase, why) != (self.view.state.phase, self.view.state.why):
                self._replace(self.view._replace(state=NodeState(phase, time.monotonic(), why)))

    def load_cached(self, view: NodeView) -> None:
        """Load a cached view unless the guests are known already; the node's state is not cached."""
        with self._lock:
            if self.view.seen_at is None:
                self._replace(view._replace(state=self.view.state))

    def apply_report(self, report: NodeReport, since: int) -> None:
        """Apply a report; `since` is the `event_count` at the start of its query."""
        with self._lock:
            guests = self._merge(report.guests, None, since)
            self._replace(self.view._replace(guests=guests, info=report.info, seen_at=time.time(), half=None))

    def apply_guests(self, guests: tuple[Guest, ...], active: bool | None, since: int) -> None:
        """Apply a list of the running guests, the others, or (None) all; keep the guests that it does not cover."""
        with self._lock:
            is_half = active is not None and (self.view.seen_at is None or self.view.half == active)
            guests, half = self._merge(guests, active, since), active if is_half else None
            self._replace(self.view._replace(guests=guests, seen_at=time.time(), half=half))

    def set_addresses(self, addresses: Mapping[str, tuple[str, ...]]) -> None:
        """Set the addresses of running guests by UUID; those that are not given have none."""
        with self._lock:
            guests = tuple(
                guest._replace(addresses=addresses.get(guest.uuid, ()) if guest.is_active else ())
                for guest in self.view.guests
            )
            self._replace(self.view._replace(guests=guests))

    def _merge(self, guests: tuple[Guest, ...], active: bool | None, since: int) -> tuple[Guest, ...]:
        """Merge a list of guests with the known ones; events since the start of its query are newer."""
        # Queries finish in the order in which they start, so no later result needs older events.
        self._event_states = {uuid: entry for uuid, entry in self._event_states.items() if entry[0] > since}
        previous = {guest.uuid: guest for guest in self.view.guests}
        listed = {guest.uuid for guest in guests}
        rest = [
            guest
            for guest in self.view.guests
            if guest.uuid not in listed
            and (guest.uuid in self._event_states or (active is not None and guest.is_active != active))
        ]
        updated = [self._with_event_state(_with_address(guest, previous.get(guest.uuid))) for guest in guests]
        return tuple(sorted((*updated, *rest), key=lambda guest: guest.name))

    def _with_event_state(self, guest: Guest) -> Guest:
        return _with_state(guest, self._event_states[guest.uuid][1]) if guest.uuid in self._event_states else guest

    def apply_event(self, event: GuestEvent) -> None:
        """Apply the new state of a known guest; an unknown guest appears with the next list."""
        with self._lock:
            self.event_count += 1
            if event.state is not None and len(self._event_states) < _MOST_EVENT_STATES:
                self._event_states[event.uuid] = (self.event_count, event.state)
                self._replace(self.view._replace(guests=tuple(map(self._with_event_state, self.view.guests))))

    def _replace(self, view: NodeView) -> None:
        before, self.view = self.view, view
        if self.listener is not None and _differ(before, view):
            self.listener(before, view)


def _with_state(guest: Guest, state: str) -> Guest:
    # The event does not have the reason; the poll that it triggers does.
    reason = guest.reason if state == guest.state else ""
    return guest._replace(state=state, reason=reason, addresses=guest.addresses if is_active_state(state) else ())


def _with_address(guest: Guest, previous: Guest | None) -> Guest:
    """Keep the known addresses of a running guest: most lists have no addresses."""
    if previous is None or guest.addresses or not guest.is_active:
        return guest
    return guest._replace(addresses=previous.addresses)


def _differ(one: NodeView, other: NodeView) -> bool:
    return (one.state, one.guests, one.info) != (other.state, other.guests, other.info)
