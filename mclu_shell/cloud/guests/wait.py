"""Wait until guests reach a state; check on every libvirt event, and at intervals."""

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
from mclu_shell.cloud.state.guest import CRASHED, RUNS, SUSPENDED, Condition, Guest, GuestEvent
from mclu_shell.cloud.state.guest_name import guest_command
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

# Polling detects a node that lost its power: it sends no event.
_POLL_S = 2.0
# No event reports an address or an sshd: the interval begins here and doubles up to _POLL_S.
_FIRST_POLL_S = 0.25
# The last output of a guest may arrive after libvirt reports it as shut off.
_LAST_OUTPUT_S = 1.0


class WaitCondition(NamedTuple):
    """The state to wait for: running, off, ip, ssh, or console with a regular expression."""

    state: str
    expression: Regex | None = None


class Observation(NamedTuple):
    """The result of one check of a guest.

    `description` is a predicate for the guest's name, such as "is still paused". `output` is the matching line on its
    console, or its sshd's banner.
    """

    description: str
    is_met: bool = False
    remedy: str = ""
    addresses: tuple[str, ...] = ()
    output: str | None = None


_Check = Callable[[Node, Guest], Observation]


@dataclass(slots=True)
class _Progress:
    """The state of a wait: the guest once it is found, and its last observation or the last error."""

    match: tuple[Node, Guest] | None
    observation: Observation | None = None
    fault: MCluError | None = None


def wait_for_guest(
    cloud: "Cloud", target: WaitTarget, condition: WaitCondition, scope: CancelScope
) -> tuple[Guest, Observation]:
    """Wait until a guest meets a condition; return it with its last observation, or raise MCluError."""
    progress = _Progress(target.match, fault=target.fault)
    try:
        return scope.run(lambda: _find_and_wait(cloud, target, condition, scope, progress))
    except TimeoutError:
        raise _timed_out(target.name, scope, progress) from None


def _find_and_wait(
    cloud: "Cloud", target: WaitTarget, condition: WaitCondition, scope: CancelScope, progress: _Progress
) -> tuple[Guest, Observation]:
    def note(fault: MCluError) -> None:
        progress.fault = fault

    progress.match = node, guest = target.match or wait_until_found(cloud, target.name, scope, note)
    try:
        return guest, _wait(node, guest, condition, scope, progress)
    except (NodeOff, ConnectionLost, SSHFault, Unreachable) as fault:
        raise fault.with_context(fact=f"{fault.fact}, while waiting for {guest.name}") from fault


def _timed_out(name: str, scope: CancelScope, progress: _Progress) -> MCluError:
    """Return the error for a timeout while a check is still running."""
    after = f"after {format_duration(scope.timeout_s)}"
    if progress.match is None:
        if progress.fault is not None:
            return not_found_in_time(progress.fault, name, scope)
        return MCluError(f"no answer {after}, while looking for {name}")
    node, guest = progress.match
    if progress.observation is None:
        return MCluError(f"no answer about {guest.name} {after}", place=node.name)
    fact = f"{guest.name} {progress.observation.description} {after} (last known state, no answer since)"
    return MCluError(fact, place=node.name, remedy=progress.observation.remedy)


def _wait(node: Node, guest: Guest, condition: WaitCondition, scope: CancelScope, progress: _Progress) -> Observation:
    with scope.waiter() as waiter:
        poll = partial(_poll, node, guest, scope, waiter, progress)
        observation = poll(_check_off if condition.state == "off" else _check_running)
        if condition.expression is not None:
            observation = _wait_for_output(node, guest, condition.expression, scope, waiter, poll)
        elif condition.state in _NETWORK_CHECKS:
            observation = poll(_NETWORK_CHECKS[condition.state], _FIRST_POLL_S)
    return observation


class _ConsoleClosed(Exception):
    """The console ended while its guest runs; the connection may be lost."""


def _wait_for_output(
    node: Node,
    guest: Guest,
    expression: Regex,
    scope: CancelScope,
    waiter: threading.Event,
    poll: Callable[[_Check], Observation],
) -> Observation:
    """Read a guest's console until the expression matches; open the console again if it closes."""
    while True:
        try:
            with watch_console(node, guest.name, expression, waiter) as watcher:
                return poll(partial(_check_output, watcher, expression.text))
        except _ConsoleClosed:
            if scope.is_over:
                raise MCluError(f"lost the connection to the console of {guest.name}", place=node.name) from None
            waiter.clear()
            scope.wait(waiter, _POLL_S)


def _poll(
    node: Node,
    guest: Guest,
    scope: CancelScope,
    waiter: threading.Event,
    progress: _Progress,
    check: _Check,
    pause_s: float = _POLL_S,
) -> Observation:
    """Check a guest on each of its events, and every `pause_s`, until the condition is met."""

    def wake(event: GuestEvent | None) -> None:
        if event is None or event.uuid == guest.uuid:
            waiter.set()

    with node.listen(wake):
        while True:
            waiter.clear()
            observation = _run_check(check, node, guest)
            progress.observation = None if observation.is_met else observation
            if observation.is_met:
                return observation
            if scope.is_over:
                fact = f"{guest.name} {observation.description} after {format_duration(scope.timeout_s)}"
                raise MCluError(fact, place=node.name, remedy=observation.remedy)
            scope.wait(waiter, pause_s)
            pause_s = min(2 * pause_s, _POLL_S)


def _run_check(check: _Check, node: Node, guest: Guest) -> Observation:
    try:
        return check(node, guest)
    except (LibvirtDown, NodeBusy) as fault:
        # The node is on, so the guest may still run.
        return Observation(f"cannot be queried ({fault.fact})", remedy=fault.remedy)


def _fetch_condition(node: Node, guest: Guest) -> Condition | None:
    return node.query(lambda client: client.fetch_condition(guest.name))


def _check_running(node: Node, guest: Guest) -> Observation:
    condition = _fetch_condition(node, guest)
    if condition is None or condition.state == CRASHED:
        raise _ended(node, guest, condition)
    if condition.state in RUNS:
        return Observation(str(condition), is_met=True)
    verb = "wake" if condition.state == SUSPENDED else "resume"
    remedy = f"run {guest_command('start', node.name, guest.name)} to {verb} it" if condition.is_active else ""
    return Observation(f"is still {condition}", remedy=remedy)


def _check_off(node: Node, guest: Guest) -> Observation:
    condition = _fetch_condition(node, guest)
    if condition is None:
        return Observation("gone", is_met=True)
    if not condition.is_active:
        return Observation(str(condition), is_met=True)
    remedy = f"run {guest_command('shutdown --force', node.name, guest.name)}" if condition.state == CRASHED else ""
    return Observation(f"is still {condition}", remedy=remedy)


def _has_ended(condition: Condition | None) -> bool:
    """Return whether a guest writes nothing more: it is gone, has stopped, or has crashed."""
    return condition is None or not condition.is_active or condition.state == CRASHED


def _ended(node: Node, guest: Guest, condition: Condition | None, context: str = "") -> MCluError:
    return MCluError(f"{guest.name} is {condition or 'gone'}{context}", place=node.name)


def _check_output(watcher: ConsoleWatcher, expression: str, node: Node, guest: Guest) -> Observation:
    # A match counts even if the guest has stopped or was restarted since.
    condition = _fetch_condition(node, guest) if watcher.match is None else None
    has_stopped = watcher.match is None and _has_ended(condition)
    if has_stopped:
        watcher.is_done(_LAST_OUTPUT_S)
    if watcher.match is not None:
        return Observation(f"console: {watcher.match}", is_met=True, output=watcher.match)
    last_line = f"last line: '{watcher.last_line}'" if watcher.last_line else "no output so far"
    if has_stopped:
        raise _ended(node, guest, condition, f" and never printed '{expression}' on its console; {last_line}")
    if watcher.is_done():
        raise _ConsoleClosed
    missing = "" if watcher.is_from_start else " (earlier output was not logged)"
    return Observation(f"has not printed '{expression}' on its console{missing}", remedy=last_line)


def _require_active(node: Node, guest: Guest, context: str) -> None:
    """Raise MCluError if the guest has stopped: it may never start again."""
    condition = _fetch_condition(node, guest)
    if _has_ended(condition):
        raise _ended(node, guest, condition, context)


def _check_address(node: Node, guest: Guest) -> Observation:
    _require_active(node, guest, " and had no known address")
    addresses = node.fetch_addresses([guest]).get(guest.uuid, ())
    if addresses:
        return Observation(", ".join(addresses), is_met=True, addresses=addresses)
    remedy = "use a libvirt network or install qemu-guest-agent (libvirt also reads the node's ARP table)"
    return Observation("has no known address", remedy=remedy)


def _check_ssh(node: Node, guest: Guest) -> Observation:
    observation = _check_address(node, guest)
    if not observation.is_met:
        return observation
    for address in observation.addresses:
        if banner := fetch_banner(node, address):
            return Observation(f"ssh at {address}: {banner}", is_met=True, addresses=(address,), output=banner)
    return Observation(f"has no sshd that answers at {observation.description}")


_NETWORK_CHECKS: dict[str, _Check] = {"ip": _check_address, "ssh": _check_ssh}
