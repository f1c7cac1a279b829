"""What is known of one node: fed by answers and events, read by anybody without a lock."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from mclu_shell.cloud.guest import Guest, GuestEvent, NodeReport, is_active_state
from mclu_shell.cloud.state import NodeState, NodeView, Phase

# Told of every change, by the thread that makes it: the view before, and the one now. It must not wait.
Listener = Callable[[NodeView, NodeView], None]


class NodeMemory:
    """A node's view, which is never changed but replaced as a whole."""

    def __init__(self, name: str) -> None:
        self.view = NodeView(name, NodeState(Phase.UNSEEN, time.monotonic()))
        self.listener: Listener | None = None
        self._lock = threading.Lock()

    def note(self, phase: Phase, why: str = "") -> None:
        """The node stands like this now."""
        with self._lock:
            if (phase, why) != (self.view.state.phase, self.view.state.why):
                self._become(replace(self.view, state=NodeState(phase, time.monotonic(), why)))

    def recall(self, view: NodeView) -> None:
        """Take over what an earlier process knew, unless more is known by now; the state is not known from that."""
        with self._lock:
            if self.view.seen_at is None:
                self._become(replace(view, state=self.view.state))

    def reported(self, report: NodeReport) -> None:
        """It has said what it has."""
        with self._lock:
            self._become(replace(self.view, guests=report.guests, info=report.info, seen_at=time.time()))

    def listed(self, guests: tuple[Guest, ...], active: bool | None) -> None:
        """It has listed its guests: the running ones, the others, or (None) all; of the rest, what was known stays."""
        with self._lock:
            there = {guest.uuid for guest in guests}
            rest = [g for g in self.view.guests if active is not None and g.is_active != active and g.uuid not in there]
            found = tuple(sorted((*guests, *rest), key=lambda guest: guest.name))
            # An address is asked for now and then, and stays what it was in between.
            known = {guest.uuid: guest.addresses for guest in self.view.guests}
            found = tuple(
                replace(g, addresses=known.get(g.uuid, ())) if g.is_active and not g.addresses else g for g in found
            )
            self._become(replace(self.view, guests=found, seen_at=time.time()))

    def happened(self, event: GuestEvent) -> None:
        """A guest that is known has a new state; of any other, asking has to tell."""
        with self._lock:
            if event.state is not None:
                guests = tuple(
                    _after(guest, event.state) if guest.uuid == event.uuid else guest for guest in self.view.guests
                )
                self._become(replace(self.view, guests=guests))

    def _become(self, view: NodeView) -> None:
        before, self.view = self.view, view
        if self.listener is not None and _differ(before, view):
            self.listener(before, view)


def _after(guest: Guest, state: str) -> Guest:
    return replace(guest, state=state, addresses=guest.addresses if is_active_state(state) else ())


def _differ(one: NodeView, other: NodeView) -> bool:
    return (one.state, one.guests, one.info) != (other.state, other.guests, other.info)
