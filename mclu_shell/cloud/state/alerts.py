"""Alerts about changes that this program did not request: nodes and guests that disappear or return."""

import time
from collections.abc import Callable, Iterator, Mapping

from mclu_shell.cloud.state.expected import ExpectedChanges
from mclu_shell.cloud.state.guest import CRASHED, IO_ERROR, PAUSED, Guest
from mclu_shell.cloud.state.snapshot import NodeView, Phase
from mclu_shell.units import format_age

# After these, the next poll shows whether the node itself is gone.
_UNSETTLED = (Phase.UNSEEN, Phase.CONNECTING, Phase.LOST)


class Alerts:
    """Compares each view of a node with the previous one; `expected` has the requested changes by node."""

    def __init__(self, expected: Mapping[str, ExpectedChanges], on_alert: Callable[[str], None]) -> None:
        self._expected = expected
        self._on_alert = on_alert
        self._was_on: set[str] = set()
        # By node: the time of its loss (of time.monotonic), and the reason in the last alert about it.
        self._lost_at: dict[str, float] = {}
        self._alerted: dict[str, str] = {}

    def on_change(self, before: NodeView, now: NodeView) -> None:
        """Report alerts for a change, as the listener of a `NodeStore`."""
        for line in (*self._of_guests(before, now), *self._of_node(before, now)):
            self._on_alert(line)

    def _of_node(self, before: NodeView, now: NodeView) -> Iterator[str]:
        name, phase = now.name, now.state.phase
        if phase == Phase.ON:
            self._was_on.add(name)
            self._alerted.pop(name, None)
            lost_at = self._lost_at.pop(name, None)
            if lost_at is not None and not self._expected[name].is_waking():
                away_s = time.monotonic() - lost_at
                yield f"{name}: is back" + (f" after {format_age(away_s)}" if away_s >= 1 else "")
            return
        if before.state.phase == Phase.ON and not self._expected[name].is_powering_off():
            self._lost_at[name] = time.monotonic()
        if phase not in _UNSETTLED and name in self._lost_at and self._alerted.get(name) != now.state.why:
            self._alerted[name] = now.state.why
            yield f"{name}: {now.state.why}"

    def _of_guests(self, before: NodeView, now: NodeView) -> Iterator[str]:
        if now.name not in self._was_on or before.guests == now.guests:
            return
        by_uuid = {guest.uuid: guest for guest in now.guests}
        for guest in before.guests:
            event = _describe_end(guest, by_uuid.get(guest.uuid))
            if event and self._expected[now.name].is_stopping(guest.uuid):
                self._expected[now.name].remove_guest(guest.uuid)
            elif event:
                yield f"{now.name}:{guest.name} {event}"


def _describe_end(before: Guest, now: Guest | None) -> str:
    """Describe how a running guest ended or was paused; return an empty string if it did not."""
    if not before.is_active:
        return ""
    if now is None:
        return "has stopped and is gone"
    if not now.is_active:
        return "has crashed" if now.reason == CRASHED else "has stopped"
    if now.state == CRASHED:
        return "has crashed" if before.state != CRASHED else ""
    return _describe_pause(before, now)


def _describe_pause(before: Guest, now: Guest) -> str:
    """Describe that a guest was paused; the reason may come with a later answer than the state."""
    if now.state != PAUSED or (before.state, before.reason) == (now.state, now.reason):
        return ""
    if now.reason == IO_ERROR:
        return "is paused by an I/O error"
    return "is paused" if before.state == "running" else ""
