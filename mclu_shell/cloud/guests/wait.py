"""Waiting until guests are as they should be: libvirt's events have us look, and a look now and then, who is there."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.console.expect import ConsoleWatcher, watch_console
from mclu_shell.cloud.console.regex import Regex
from mclu_shell.cloud.guests.ssh_banner import fetch_banner
from mclu_shell.cloud.guests.wait_targets import WaitTarget, not_found_in_time, wait_until_found
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import RUNS, Guest, GuestEvent, is_active_state
from mclu_shell.errors import (
    ConnectionLost,
    LibvirtDown,
    MCluError,
    NodeBusy,
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


class WaitCondition(NamedTuple):
    """What a guest is to come to: running, off, ip, ssh, or console with what it is to write there."""

    state: str
    expression: Regex | None = None


class Observation(NamedTuple):
    """What a look at a guest has shown, in words that can follow its name; whether that is what is waited for.

    `said` is what has been heard of it: the line on its console, or what its sshd says first.
    """

    description: str
    is_met: bool = False
    remedy: str = ""
    addresses: tuple[str, ...] = ()
    output: str | None = None


_Look = Callable[[Node, Guest], Observation]


@dataclass(slots=True)
class _Progress:
    """What is known of what is waited for: what the last look at a guest has shown, or why there was none so far."""

    found: tuple[Node, Guest] | None
    seen: Observation | None = None
    fault: MCluError | None = None


def wait_for_guest(
    cloud: "Cloud", awaited: WaitTarget, wanted: WaitCondition, scope: CancelScope
) -> tuple[Guest, Observation]:
    """Wait until a guest is as wanted: which one that is, and what was seen then; MCluError why it is not."""
    progress = _Progress(awaited.match, fault=awaited.fault)
    try:
        return scope.run(lambda: _find_and_wait(cloud, awaited, wanted, scope, progress))
    except TimeoutError:
        raise _unanswered(awaited.name, scope, progress) from None


def _find_and_wait(
    cloud: "Cloud", awaited: WaitTarget, wanted: WaitCondition, scope: CancelScope, progress: _Progress
) -> tuple[Guest, Observation]:
    def note(fault: MCluError) -> None:
        progress.fault = fault

    progress.found = node, guest = awaited.match or wait_until_found(cloud, awaited.name, scope, note)
    try:
        return guest, _wait(node, guest, wanted, scope, progress)
    except (NodeOff, ConnectionLost, SSHFault, Unreachable) as fault:
        raise fault.with_context(fact=f"{fault.fact}, while {guest.name} was waited for") from fault


def _unanswered(name: str, scope: CancelScope, progress: _Progress) -> MCluError:
    """What there is to say when the limit comes, and a look at the guest is still under way."""
    after = f"after {format_duration(scope.timeout_s)}"
    if progress.found is None:
        if progress.fault is not None:
            return not_found_in_time(progress.fault, name, scope)
        return MCluError(f"no answer {after}, as {name} was looked for")
    node, guest = progress.found
    if progress.seen is None:
        return MCluError(f"no answer about {guest.name} {after}", place=node.name)
    told = f"{guest.name} {progress.seen.description} {after}, as last seen: no answer since"
    return MCluError(told, place=node.name, remedy=progress.seen.remedy)


def _wait(node: Node, guest: Guest, wanted: WaitCondition, scope: CancelScope, progress: _Progress) -> Observation:
    with scope.waiter() as waiter:
        watch = partial(_watch, node, guest, scope, waiter, progress)
        seen = watch(_off if wanted.state == "off" else _running)
        if wanted.expression is not None:
            seen = _hear(node, guest, wanted.expression, scope, waiter, watch)
        elif wanted.state in _SOUGHT:
            seen = watch(_SOUGHT[wanted.state], _FIRST_LOOK_S)
    return seen


class _Deaf(Exception):
    """A console is not heard any more, though its guest runs: the connection may have been lost."""


def _hear(
    node: Node,
    guest: Guest,
    expression: Regex,
    scope: CancelScope,
    waiter: threading.Event,
    watch: Callable[[_Look], Observation],
) -> Observation:
    """Listen to a guest's console, and again where that has ended."""
    while True:
        try:
            with watch_console(node, guest.name, expression, waiter) as watcher:
                return watch(partial(_heard, watcher, expression.text))
        except _Deaf:
            if scope.is_over:
                raise MCluError(f"the console of {guest.name} cannot be read any more", place=node.name) from None
            waiter.clear()
            scope.wait(waiter, _LOOK_S)


def _watch(
    node: Node,
    guest: Guest,
    scope: CancelScope,
    waiter: threading.Event,
    progress: _Progress,
    look: _Look,
    pause_s: float = _LOOK_S,
) -> Observation:
    """Look at a guest whenever something happens to it, until it is as wanted; what was seen then."""

    def ring(event: GuestEvent | None) -> None:
        if event is None or event.uuid == guest.uuid:
            waiter.set()

    with node.listen(ring):
        while True:
            waiter.clear()
            seen = _try(look, node, guest)
            progress.seen = None if seen.is_met else seen
            if seen.is_met:
                return seen
            if scope.is_over:
                told = f"{guest.name} {seen.description} after {format_duration(scope.timeout_s)}"
                raise MCluError(told, place=node.name, remedy=seen.remedy)
            scope.wait(waiter, pause_s)
            pause_s = min(2 * pause_s, _LOOK_S)


def _try(look: _Look, node: Node, guest: Guest) -> Observation:
    try:
        return look(node, guest)
    except (LibvirtDown, NodeBusy) as fault:
        # The machine is there, and the guest with it.
        return Observation(f"cannot be asked for ({fault.fact})", remedy=fault.remedy)


def _fetch_state(node: Node, guest: Guest) -> str | None:
    return node.query(lambda client: client.fetch_state(guest.name))


def _running(node: Node, guest: Guest) -> Observation:
    state = _fetch_state(node, guest)
    if state is None or state == "crashed":
        raise _ended(node, guest, state)
    return Observation(state, is_met=True) if state in RUNS else Observation(f"is still {state}")


def _off(node: Node, guest: Guest) -> Observation:
    state = _fetch_state(node, guest)
    if state is None:
        return Observation("gone", is_met=True)
    return Observation(f"is still {state}") if is_active_state(state) else Observation(state, is_met=True)


def _ended(node: Node, guest: Guest, state: str | None, before: str = "") -> MCluError:
    how = f"is {state}" if state else "has gone"
    return MCluError(f"{guest.name} {how}{before}", place=node.name)


def _heard(watcher: ConsoleWatcher, expression: str, node: Node, guest: Guest) -> Observation:
    # Also one whose guest has been started again by now may have heard what it should.
    state = _fetch_state(node, guest) if watcher.match is None else "running"
    has_stopped = state is None or not is_active_state(state)
    if has_stopped:
        watcher.is_done(_LAST_WORDS_S)
    if watcher.match is not None:
        return Observation(f"console: {watcher.match}", is_met=True, output=watcher.match)
    said = f"its last line there is '{watcher.last_line}'" if watcher.last_line else "nothing is written there"
    if has_stopped:
        raise _ended(node, guest, state, f", and did not write '{expression}' on its console; {said}")
    if watcher.is_done():
        raise _Deaf
    kept = "" if watcher.is_from_start else " (what it wrote before that is not kept)"
    return Observation(f"has not written '{expression}' on its console{kept}", remedy=said)


def _require_active(node: Node, guest: Guest, before: str) -> None:
    """Raise if a guest that did run does so no more: nobody knows whether it will again."""
    state = _fetch_state(node, guest)
    if state is None or not is_active_state(state):
        raise _ended(node, guest, state, before)


def _address(node: Node, guest: Guest) -> Observation:
    _require_active(node, guest, ", and had no address that is known")
    addresses = node.query(lambda client: client.fetch_addresses(guest.name), node.config.answer_timeout)
    if addresses:
        return Observation(", ".join(addresses), is_met=True, addresses=addresses)
    remedy = "libvirt knows it from its own networks, an agent in the guest, or the node's ARP table"
    return Observation("has no address that is known", remedy=remedy)


def _ssh(node: Node, guest: Guest) -> Observation:
    seen = _address(node, guest)
    if not seen.is_met:
        return seen
    for address in seen.addresses:
        if banner := fetch_banner(node, address):
            return Observation(f"ssh at {address}: {banner}", is_met=True, addresses=(address,), output=banner)
    return Observation(f"has no sshd that answers at {seen.description}")


_SOUGHT: dict[str, _Look] = {"ip": _address, "ssh": _ssh}
