"""What a user wants to hear of without having asked: nodes and guests that go away by themselves, and come back."""

import time
from collections.abc import Callable, Iterator, Mapping

from mclu_shell.cloud.state.expected import ExpectedChanges
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.snapshot import NodeView, Phase
from mclu_shell.units import format_age

# Of a connection that is lost, the next look tells whether it is the node that has gone.
_UNSETTLED = (Phase.UNSEEN, Phase.CONNECTING, Phase.LOST)


class Alerts:
    """Compares each view of a node with the one before; `asked` has, by node, what this program itself asked for."""

    def __init__(self, asked: Mapping[str, ExpectedChanges], tell: Callable[[str], None]) -> None:
        self._asked = asked
        self._tell = tell
        self._was_on: set[str] = set()
        # When a node was lost (of time.monotonic), and whether that was told.
        self._lost: dict[str, float] = {}
        self._told: dict[str, str] = {}

    def changed(self, before: NodeView, now: NodeView) -> None:
        """Tell what is worth it; a listener of `NodeStore`."""
        for line in (*self._of_guests(before, now), *self._of_node(before, now)):
            self._tell(line)

    def _of_node(self, before: NodeView, now: NodeView) -> Iterator[str]:
        name, phase = now.name, now.state.phase
        if phase == Phase.ON:
            self._was_on.add(name)
            self._told.pop(name, None)
            since = self._lost.pop(name, None)
            if since is not None and not self._asked[name].is_waking():
                away_s = time.monotonic() - since
                yield f"{name}: is back" + (f" after {format_age(away_s)}" if away_s >= 1 else "")
            return
        if before.state.phase == Phase.ON and not self._asked[name].is_powering_off():
            self._lost[name] = time.monotonic()
        if phase not in _UNSETTLED and name in self._lost and self._told.get(name) != now.state.why:
            self._told[name] = now.state.why
            yield f"{name}: {now.state.why}"

    def _of_guests(self, before: NodeView, now: NodeView) -> Iterator[str]:
        if now.name not in self._was_on or before.guests == now.guests:
            return
        there = {guest.uuid: guest for guest in now.guests}
        for guest in before.guests:
            told = _what_became_of(guest, there.get(guest.uuid))
            if told and self._asked[now.name].is_stopping(guest.uuid):
                self._asked[now.name].remove_guest(guest.uuid)
            elif told:
                yield f"{now.name}:{guest.name} {told}"


def _what_became_of(before: Guest, now: Guest | None) -> str:
    """In words, if a guest that ran does not run any more; else an empty string."""
    if not before.is_active:
        return ""
    if now is None:
        return "has stopped and is gone"
    if not now.is_active:
        return "has crashed" if now.state == "crashed" else "has stopped"
    return "is paused" if now.state == "paused" and before.state == "running" else ""
