"""Wait until nodes or guests reach a state.

Conditions for nodes:
  on             libvirt answers (default)
  off            the node no longer answers

Conditions for guests:
  running        running
  off            shut off
  ip             an IP address is known
  ssh            its SSH server answers, seen from the node
  console REGEX  a line on its serial console matches REGEX

'console' reads everything that the guest has written since it was started, or rebooted by mclu. REGEX has RE2 syntax,
without backreferences and look-around.

Wildcards are expanded once, and all matches must reach the state. The command fails at once if the condition can no
longer be met: a guest is gone or stopped, or its node went off.

Examples:
  wait node 'ham*' --timeout 10m
  wait guest web db running
  wait guest web console 'login:'
  wait --timeout 1m guest web console -- '-sh'    a REGEX that begins with '-'
"""

import argparse
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from mclu_shell.argtypes import types
from mclu_shell.argtypes.wait_conditions import WAIT_REQUEST, ParseWaitRequest, WaitRequest
from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.concurrency.fanout import as_completed, gather
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.power import wait_for_nodes, wait_until_off, wait_until_on
from mclu_shell.command import Context, Group, Parser
from mclu_shell.output.results import Entry, Result, would
from mclu_shell.output.schema.guest_changes import Reached
from mclu_shell.output.schema.power import Power
from mclu_shell.units import format_duration

if TYPE_CHECKING:
    from mclu_shell.cloud.guests.wait import Observation
    from mclu_shell.cloud.state.guest import Guest
    from mclu_shell.errors import MCluError

GROUP = Group.NODES
LINES = ("power", "reached")
_TIMEOUT_S = 300


def add_arguments(parser: Parser) -> None:
    """Add the kind of names, the names with their condition, and --timeout."""
    parser.add_argument("kind", metavar="node|guest", type=types.choice("node", "guest"), help="kind of the names")
    parser.add_argument(
        "request",
        nargs="+",
        metavar="NAME",
        type=WAIT_REQUEST,
        action=ParseWaitRequest,
        help="names or wildcards, followed by a condition",
    )
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=types.duration(60, _TIMEOUT_S, 600),
        default=_TIMEOUT_S,
        help=f"time limit, such as 90, 5m or 1h (default: {format_duration(_TIMEOUT_S)})",
    )


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line for each node or guest as it reaches the state."""
    if args.kind == "node":
        return _wait_for_nodes(context, args.request, args.timeout)
    return _wait_for_guests(context, args.request, args.timeout)


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line for each node or guest that would be waited for."""
    from mclu_shell.cloud.dryrun.lifecycle import dry_run_wait_for_guest
    from mclu_shell.cloud.dryrun.power import dry_run_wait_for_nodes
    from mclu_shell.cloud.guests.wait_targets import WaitTarget, resolve_wait_targets

    cloud, request = context.dry_run_cloud, args.request
    if args.kind == "node":
        on = request.state == "on"
        yield from map(would, dry_run_wait_for_nodes(cloud, cloud.match(request.names), args.timeout, on=on))
        return
    cloud.assume_woken()
    faults: list[MCluError] = []
    targets = resolve_wait_targets(cloud, request.names, faults)

    def state_reached(target: WaitTarget) -> str:
        return dry_run_wait_for_guest(cloud, *target.match, request.state) if target.match else ""

    for outcome in gather(targets, state_reached):
        node, _, guest = outcome.item.name.rpartition(":")
        yield would(outcome.error or _planned_wait(node, guest, request, args.timeout, outcome.unwrap()))
    yield from faults


def _planned_wait(node: str, guest: str, request: WaitRequest, timeout_s: float, state: str) -> Planned:
    if state:
        return Planned("not wait for", node, guest, f"already {state}")
    return Planned("wait for", node, guest, f"{request}, at most {format_duration(timeout_s)}")


def _wait_for_nodes(context: Context, request: WaitRequest, timeout_s: float) -> Iterator[Result]:
    def wait(node: Node, scope: CancelScope) -> None:
        if request.state == "off":
            wait_until_off(node, scope)
        else:
            wait_until_on(node, scope, wakes=False)

    nodes = context.cloud.match(request.names)
    for outcome in wait_for_nodes(
        context.cloud, nodes, timeout_s, wait, lambda names: context.notify(request.progress(names))
    ):
        name = outcome.item.name
        yield outcome.error or Entry(
            name, request.state, tone=_state_tone(request), data=partial(Power, name, request.state)
        )


def _wait_for_guests(context: Context, request: WaitRequest, timeout_s: float) -> Iterator[Result]:
    from mclu_shell.cloud.guests.wait import WaitCondition, wait_for_guest
    from mclu_shell.cloud.guests.wait_targets import resolve_wait_targets

    faults: list[MCluError] = []
    scope = CancelScope(timeout_s)
    targets = resolve_wait_targets(context.cloud, request.names, faults)
    # Errors are shown before the wait, which may be long.
    yield from faults
    condition = WaitCondition(request.state, request.expression)
    pending = [target.name for target in targets]
    try:
        context.notify(request.progress(pending))
        for outcome in as_completed(targets, lambda target: wait_for_guest(context.cloud, target, condition, scope)):
            pending.remove(outcome.item.name)
            name = outcome.item.name.rpartition(":")[2]
            yield outcome.error.about(name) if outcome.error else _guest_entry(request, *outcome.unwrap())
            context.notify(request.progress(pending))
    finally:
        scope.cancel()


def _guest_entry(request: WaitRequest, guest: "Guest", seen: "Observation") -> Entry:
    data = partial(Reached, guest.node, guest.name, request.state, seen.addresses, seen.output)
    return Entry(f"{guest.node}:{guest.name}", seen.description, tone=_state_tone(request), data=data)


def _state_tone(request: WaitRequest) -> str:
    return "quiet" if request.state == "off" else "good"
