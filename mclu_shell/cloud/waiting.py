"""Waiting until guests are as they should be: libvirt's events have us look, and a look now and then, who is there."""

import re
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.consolewait import Ear, listening
from mclu_shell.cloud.guest import Guest, GuestEvent, is_active_state
from mclu_shell.cloud.guests import find_guest, find_guests, parse_guest
from mclu_shell.cloud.node import Node
from mclu_shell.cloud.patience import Patience
from mclu_shell.cloud.sshbanner import fetch_banner
from mclu_shell.cloud.state import Phase
from mclu_shell.errors import (
    Busy,
    LibvirtDown,
    LinkLost,
    MCluError,
    NodeFault,
    NodeOff,
    NotFound,
    SSHFault,
    SSHRefused,
    Unreachable,
)
from mclu_shell.units import format_duration

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud

# A node that has lost its power says nothing, as a quiet guest does.
_LOOK_S = 2.0
# Where no event tells, what is waited for is looked for again after so long, then after twice that, up to the above.
_FIRST_LOOK_S = 0.25
_SEEK_S = 0.5
# What a guest wrote last may be under way still when libvirt calls it shut off.
_LAST_WORDS_S = 1.0
_RUNS = ("running", "idle")


class Wanted(NamedTuple):
    """What a guest is to come to: running, off, ip, ssh, or console with what it is to write there."""

    state: str
    pattern: re.Pattern[str] | None = None


class Seen(NamedTuple):
    """What a look at a guest has shown, in words that can follow its name; whether that is what is waited for.

    `said` is what has been heard of it: the line on its console, or what its sshd says first.
    """

    words: str
    is_reached: bool = False
    remedy: str = ""
    addresses: tuple[str, ...] = ()
    said: str | None = None


class Awaited(NamedTuple):
    """A guest that is meant; `found` is None as long as the node that may have it is not there."""

    name: str
    found: tuple[Node, Guest] | None = None


_Look = Callable[[Node, Guest], Seen]


def find_awaited(cloud: "Cloud", patterns: Sequence[str], faults: list[MCluError]) -> list[Awaited]:
    """The guests that are meant, each once, as `find_guests` does it; also those whose nodes may still be coming up.

    Wildcards mean what is there now.
    """
    awaited: dict[str, Awaited] = {}
    for pattern in patterns:
        try:
            found = find_guests(cloud, [pattern], faults=faults)
        except MCluError as error:
            if not _may_come(cloud, pattern, error):
                raise
            awaited[pattern] = Awaited(pattern)
        else:
            for node, guest in found:
                name = f"{node.name}:{guest.name}"
                awaited[name] = Awaited(name, (node, guest))
    return list(awaited.values())


def _may_come(cloud: "Cloud", name: str, error: MCluError) -> bool:
    """Whether a guest may be found later: on the node that was named, or on one that was just woken."""
    parsed = parse_guest(name)
    if parsed.is_wildcard or isinstance(error, SSHRefused):
        return False
    nodes = cloud.match([parsed.host]) if parsed.host else cloud.nodes
    is_awaited = any(node.asked.for_waking() and node.view.state.phase != Phase.ON for node in nodes)
    return isinstance(error, NodeFault) or (isinstance(error, NotFound) and is_awaited)


def wait_for_guest(cloud: "Cloud", awaited: Awaited, wanted: Wanted, patience: Patience) -> tuple[Guest, Seen]:
    """Wait until a guest is as wanted: which one that is, and what was seen then; MCluError why it is not."""
    node, guest = awaited.found or _find(cloud, awaited.name, patience)
    try:
        return guest, _wait(node, guest, wanted, patience)
    except (NodeOff, LinkLost, SSHFault, Unreachable) as fault:
        raise fault.retold(fact=f"{fault.fact}, while {guest.name} was waited for") from fault


def _wait(node: Node, guest: Guest, wanted: Wanted, patience: Patience) -> Seen:
    with patience.bell() as bell:
        watch = partial(_watch, node, guest, patience, bell)
        seen = watch(_off if wanted.state == "off" else _running)
        if wanted.pattern is not None:
            with listening(node, guest.name, wanted.pattern, bell) as ear:
                seen = watch(partial(_heard, ear, wanted.pattern.pattern))
        elif wanted.state in _SOUGHT:
            seen = watch(_SOUGHT[wanted.state], _FIRST_LOOK_S)
    return seen


def _find(cloud: "Cloud", name: str, patience: Patience) -> tuple[Node, Guest]:
    with patience.bell() as bell:
        while True:
            try:
                return find_guest(cloud, name)
            except MCluError as error:
                if not _may_come(cloud, name, error):
                    raise
                if patience.is_over:
                    told = f"{error.fact}, and {name} was waited for {format_duration(patience.timeout_s)}"
                    raise error.retold(fact=told) from error
            patience.doze(bell, _SEEK_S)


def _watch(
    node: Node, guest: Guest, patience: Patience, bell: threading.Event, look: _Look, pause_s: float = _LOOK_S
) -> Seen:
    """Look at a guest whenever something happens to it, until it is as wanted; what was seen then."""

    def ring(event: GuestEvent | None) -> None:
        if event is None or event.uuid == guest.uuid:
            bell.set()

    with node.heard_by(ring):
        while True:
            bell.clear()
            seen = _try(look, node, guest)
            if seen.is_reached:
                return seen
            if patience.is_over:
                told = f"{guest.name} {seen.words} after {format_duration(patience.timeout_s)}"
                raise MCluError(told, place=node.name, remedy=seen.remedy)
            patience.doze(bell, pause_s)
            pause_s = min(2 * pause_s, _LOOK_S)


def _try(look: _Look, node: Node, guest: Guest) -> Seen:
    try:
        return look(node, guest)
    except (LibvirtDown, Busy) as fault:
        # The machine is there, and the guest with it.
        return Seen(f"cannot be asked for ({fault.fact})", remedy=fault.remedy)


def _fetch_state(node: Node, guest: Guest) -> str | None:
    return node.fetch(lambda hypervisor: hypervisor.fetch_state(guest.name))


def _running(node: Node, guest: Guest) -> Seen:
    state = _fetch_state(node, guest)
    if state is None or state == "crashed":
        raise _ended(node, guest, state)
    return Seen(state, is_reached=True) if state in _RUNS else Seen(f"is still {state}")


def _off(node: Node, guest: Guest) -> Seen:
    state = _fetch_state(node, guest)
    if state is None:
        return Seen("gone", is_reached=True)
    return Seen(f"is still {state}") if is_active_state(state) else Seen(state, is_reached=True)


def _ended(node: Node, guest: Guest, state: str | None, before: str = "") -> MCluError:
    how = f"is {state}" if state else "has gone"
    return MCluError(f"{guest.name} {how}{before}", place=node.name)


def _heard(ear: Ear, pattern: str, node: Node, guest: Guest) -> Seen:
    # Also one whose guest has been started again by now may have heard what it should.
    state = _fetch_state(node, guest) if ear.found is None else "running"
    has_stopped = state is None or not is_active_state(state)
    if has_stopped:
        ear.is_done(_LAST_WORDS_S)
    if ear.found is not None:
        return Seen(f"console: {ear.found}", is_reached=True, said=ear.found)
    said = f"its last line there is '{ear.last_line}'" if ear.last_line else "nothing is written there"
    if has_stopped:
        raise _ended(node, guest, state, f", and did not write '{pattern}' on its console; {said}")
    if ear.is_done():
        raise MCluError(f"the console of {guest.name} cannot be read any more", place=node.name)
    kept = "" if ear.is_from_start else " (what it wrote before that is not kept)"
    return Seen(f"has not written '{pattern}' on its console{kept}", remedy=said)


def _need_active(node: Node, guest: Guest, before: str) -> None:
    """Raise if a guest that did run does so no more: nobody knows whether it will again."""
    state = _fetch_state(node, guest)
    if state is None or not is_active_state(state):
        raise _ended(node, guest, state, before)


def _address(node: Node, guest: Guest) -> Seen:
    _need_active(node, guest, ", and had no address that is known")
    addresses = node.fetch(lambda hypervisor: hypervisor.fetch_addresses(guest.name), node.config.answer_timeout)
    if addresses:
        return Seen(", ".join(addresses), is_reached=True, addresses=addresses)
    remedy = "libvirt knows it from its own networks, an agent in the guest, or the node's ARP table"
    return Seen("has no address that is known", remedy=remedy)


def _ssh(node: Node, guest: Guest) -> Seen:
    seen = _address(node, guest)
    if not seen.is_reached:
        return seen
    for address in seen.addresses:
        if banner := fetch_banner(node, address):
            return Seen(f"ssh at {address}: {banner}", is_reached=True, addresses=(address,), said=banner)
    return Seen(f"has no sshd that answers at {seen.words}")


_SOUGHT: dict[str, _Look] = {"ip": _address, "ssh": _ssh}
