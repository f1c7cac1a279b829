"""What is known of one node: fed by answers and events, read by anybody without a lock."""

import threading
import time
from collections.abc import Callable

from mclu_shell.cloud.state.guest import Guest, GuestEvent, NodeReport, is_active_state
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase

# Told of every change, by the thread that makes it: the view before, and the one now. It must not wait.
Listener = Callable[[NodeView, NodeView], None]


class NodeStore:
    """A node's view, which is never changed but replaced as a whole."""

    def __init__(self, name: str) -> None:
        self.view = NodeView(name, NodeState(Phase.UNSEEN, time.monotonic()))
        self.listener: Listener | None = None
        # How many events have come: an answer may be older than those that came after its question.
        self.event_count = 0
        # By the guest's UUID: the number of its last event that told a state, and that state.
        self._told: dict[str, tuple[int, str]] = {}
        self._lock = threading.Lock()

    def set_state(self, phase: Phase, why: str = "") -> None:
        """The node stands like this now."""
        with self._lock:
            if (phase, why) != (self.view.state.phase, self.view.state.why):
                self._replace(self.view._replace(state=NodeState(phase, time.monotonic(), why)))

    def load_cached(self, view: NodeView) -> None:
        """Take over what an earlier process knew, unless more is known by now; the state is not known from that."""
        with self._lock:
            if self.view.seen_at is None:
                self._replace(view._replace(state=self.view.state))

    def apply_report(self, report: NodeReport, since: int) -> None:
        """It has said what it has; `since` is the count of `events` before it was asked."""
        with self._lock:
            guests = self._newest(report.guests, None, since)
            self._replace(self.view._replace(guests=guests, info=report.info, seen_at=time.time(), half=None))

    def apply_guests(self, guests: tuple[Guest, ...], active: bool | None, since: int) -> None:
        """It has listed its guests: the running ones, the others, or (None) all; of the rest, what was known stays."""
        with self._lock:
            is_half = active is not None and (self.view.seen_at is None or self.view.half == active)
            guests, half = self._newest(guests, active, since), active if is_half else None
            self._replace(self.view._replace(guests=guests, seen_at=time.time(), half=half))

    def _newest(self, answer: tuple[Guest, ...], active: bool | None, since: int) -> tuple[Guest, ...]:
        """The guests of an answer, and those that it says nothing of; an event after the question is newer."""
        # No question that is still to be answered was asked before this one.
        self._told = {uuid: told for uuid, told in self._told.items() if told[0] > since}
        known = {guest.uuid: guest for guest in self.view.guests}
        there = {guest.uuid for guest in answer}
        rest = [
            guest
            for guest in self.view.guests
            if guest.uuid not in there
            and (guest.uuid in self._told or (active is not None and guest.is_active != active))
        ]
        found = [self._as_told(_with_address(guest, known.get(guest.uuid))) for guest in answer]
        return tuple(sorted((*found, *rest), key=lambda guest: guest.name))

    def _as_told(self, guest: Guest) -> Guest:
        return _after(guest, self._told[guest.uuid][1]) if guest.uuid in self._told else guest

    def apply_event(self, event: GuestEvent) -> None:
        """A guest that is known has a new state; of any other, asking has to tell."""
        with self._lock:
            self.event_count += 1
            if event.state is not None:
                self._told[event.uuid] = (self.event_count, event.state)
                self._replace(self.view._replace(guests=tuple(map(self._as_told, self.view.guests))))

    def _replace(self, view: NodeView) -> None:
        before, self.view = self.view, view
        if self.listener is not None and _differ(before, view):
            self.listener(before, view)


def _after(guest: Guest, state: str) -> Guest:
    return guest._replace(state=state, addresses=guest.addresses if is_active_state(state) else ())


def _with_address(guest: Guest, known: Guest | None) -> Guest:
    """An address is asked for now and then, and stays what it was in between."""
    if known is None or guest.addresses or not guest.is_active:
        return guest
    return guest._replace(addresses=known.addresses)


def _differ(one: NodeView, other: NodeView) -> bool:
    return (one.state, one.guests, one.info) != (other.state, other.guests, other.info)
