"""Waiting until guests are as they should be: libvirt's events have us look, and a look now and then, who is there."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.concurrency.cancel_scope import Patience
from mclu_shell.cloud.concurrency.fanout import in_time
from mclu_shell.cloud.console.expect import Ear, listening
from mclu_shell.cloud.console.regex import Expression
from mclu_shell.cloud.guests.ssh_banner import fetch_banner
from mclu_shell.cloud.guests.wait_targets import Awaited, not_found_in_time, seek
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import RUNS, Guest, GuestEvent, is_active_state
from mclu_shell.errors import (
    Busy,
    LibvirtDown,
    LinkLost,
    MCluError,
    NodeOff,
    SSHFault,
    Unreachable,
)
from mclu_shell.units import format_duration

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud

# A node that has lost its power says nothing, as a quiet guest does.
_LOOK_S = 2.0
# Where no event tells, what is waited for is looked for again after so long, then after twice that, up to the above.
_FIRST_LOOK_S = 0.25
# What a guest wrote last may be under way still when libvirt calls it shut off.
_LAST_WORDS_S = 1.0


class Wanted(NamedTuple):
    """What a guest is to come to: running, off, ip, ssh, or console with what it is to write there."""

    state: str
    expression: Expression | None = None


class Seen(NamedTuple):
    """What a look at a guest has shown, in words that can follow its name; whether that is what is waited for.

    `said` is what has been heard of it: the line on its console, or what its sshd says first.
    """

    words: str
    is_reached: bool = False
    remedy: str = ""
    addresses: tuple[str, ...] = ()
    said: str | None = None


_Look = Callable[[Node, Guest], Seen]


@dataclass(slots=True)
class _Memory:
    """What is known of what is waited for: what the last look at a guest has shown, or why there was none so far."""

    found: tuple[Node, Guest] | None
    seen: Seen | None = None
    fault: MCluError | None = None


def wait_for_guest(cloud: "Cloud", awaited: Awaited, wanted: Wanted, patience: Patience) -> tuple[Guest, Seen]:
    """Wait until a guest is as wanted: which one that is, and what was seen then; MCluError why it is not."""
    memory = _Memory(awaited.found, fault=awaited.fault)
    try:
        return in_time(lambda: _find_and_wait(cloud, awaited, wanted, patience, memory), patience.last_moment)
    except TimeoutError:
        raise _unanswered(awaited.name, patience, memory) from None


def _find_and_wait(
    cloud: "Cloud", awaited: Awaited, wanted: Wanted, patience: Patience, memory: _Memory
) -> tuple[Guest, Seen]:
    def note(fault: MCluError) -> None:
        memory.fault = fault

    memory.found = node, guest = awaited.found or seek(cloud, awaited.name, patience, note)
    try:
        return guest, _wait(node, guest, wanted, patience, memory)
    except (NodeOff, LinkLost, SSHFault, Unreachable) as fault:
        raise fault.retold(fact=f"{fault.fact}, while {guest.name} was waited for") from fault


def _unanswered(name: str, patience: Patience, memory: _Memory) -> MCluError:
    """What there is to say when the limit comes, and a look at the guest is still under way."""
    after = f"after {format_duration(patience.timeout_s)}"
    if memory.found is None:
        if memory.fault is not None:
            return not_found_in_time(memory.fault, name, patience)
        return MCluError(f"no answer {after}, as {name} was looked for")
    node, guest = memory.found
    if memory.seen is None:
        return MCluError(f"no answer about {guest.name} {after}", place=node.name)
    told = f"{guest.name} {memory.seen.words} {after}, as last seen: no answer since"
    return MCluError(told, place=node.name, remedy=memory.seen.remedy)


def _wait(node: Node, guest: Guest, wanted: Wanted, patience: Patience, memory: _Memory) -> Seen:
    with patience.bell() as bell:
        watch = partial(_watch, node, guest, patience, bell, memory)
        seen = watch(_off if wanted.state == "off" else _running)
        if wanted.expression is not None:
            seen = _hear(node, guest, wanted.expression, patience, bell, watch)
        elif wanted.state in _SOUGHT:
            seen = watch(_SOUGHT[wanted.state], _FIRST_LOOK_S)
    return seen


class _Deaf(Exception):
    """A console is not heard any more, though its guest runs: the connection may have been lost."""


def _hear(
    node: Node,
    guest: Guest,
    expression: Expression,
    patience: Patience,
    bell: threading.Event,
    watch: Callable[[_Look], Seen],
) -> Seen:
    """Listen to a guest's console, and again where that has ended."""
    while True:
        try:
            with listening(node, guest.name, expression, bell) as ear:
                return watch(partial(_heard, ear, expression.text))
        except _Deaf:
            if patience.is_over:
                raise MCluError(f"the console of {guest.name} cannot be read any more", place=node.name) from None
            bell.clear()
            patience.doze(bell, _LOOK_S)


def _watch(
    node: Node,
    guest: Guest,
    patience: Patience,
    bell: threading.Event,
    memory: _Memory,
    look: _Look,
    pause_s: float = _LOOK_S,
) -> Seen:
    """Look at a guest whenever something happens to it, until it is as wanted; what was seen then."""

    def ring(event: GuestEvent | None) -> None:
        if event is None or event.uuid == guest.uuid:
            bell.set()

    with node.heard_by(ring):
        while True:
            bell.clear()
            seen = _try(look, node, guest)
            memory.seen = None if seen.is_reached else seen
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
    return Seen(state, is_reached=True) if state in RUNS else Seen(f"is still {state}")


def _off(node: Node, guest: Guest) -> Seen:
    state = _fetch_state(node, guest)
    if state is None:
        return Seen("gone", is_reached=True)
    return Seen(f"is still {state}") if is_active_state(state) else Seen(state, is_reached=True)


def _ended(node: Node, guest: Guest, state: str | None, before: str = "") -> MCluError:
    how = f"is {state}" if state else "has gone"
    return MCluError(f"{guest.name} {how}{before}", place=node.name)


def _heard(ear: Ear, expression: str, node: Node, guest: Guest) -> Seen:
    # Also one whose guest has been started again by now may have heard what it should.
    state = _fetch_state(node, guest) if ear.found is None else "running"
    has_stopped = state is None or not is_active_state(state)
    if has_stopped:
        ear.is_done(_LAST_WORDS_S)
    if ear.found is not None:
        return Seen(f"console: {ear.found}", is_reached=True, said=ear.found)
    said = f"its last line there is '{ear.last_line}'" if ear.last_line else "nothing is written there"
    if has_stopped:
        raise _ended(node, guest, state, f", and did not write '{expression}' on its console; {said}")
    if ear.is_done():
        raise _Deaf
    kept = "" if ear.is_from_start else " (what it wrote before that is not kept)"
    return Seen(f"has not written '{expression}' on its console{kept}", remedy=said)


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
