"""Wait until nodes or guests are as they should be, so that a script can go on from there.

NAME… is followed by what is waited for. Nodes: 'on', which can be left out (libvirt answers there), or 'off'. Guests:
'running', 'off', 'ip' (it has an address), 'ssh' (an sshd answers there, seen from its node), 'console' and a
regular expression, for a line on its serial console since it was started, or since mclu has told it to reboot.
Wildcards mean what is there now, and all of it has to get there. What cannot come any more ends the waiting at once:
a guest that has gone, or that stops before it has written that; a node that goes off with its guests.

  wait node 'ham*' --timeout 10m
  wait guest web db running
  wait guest web console 'login:'
"""

import argparse
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mclu_shell import kinds
from mclu_shell.cloud.guests import find_guests
from mclu_shell.cloud.node import Node
from mclu_shell.cloud.parallel import each
from mclu_shell.cloud.planned import Planned
from mclu_shell.cloud.power import wait_for_nodes, wait_until_off, wait_until_on
from mclu_shell.cloud.rehearsepower import rehearse_wait
from mclu_shell.command import Context, Group, Parser
from mclu_shell.kinds.goals import GOAL, Goal, ReadGoal
from mclu_shell.results import Entry, Result, would
from mclu_shell.units import format_duration

if TYPE_CHECKING:
    from mclu_shell.errors import MCluError

GROUP = Group.NODES
_TIMEOUT_S = 300
_SHOWN = 5


def add_arguments(parser: Parser) -> None:
    """Nodes or guests, which, what they are to come to, and how long to be patient."""
    parser.add_argument("what", metavar="node|guest", type=kinds.word_kind("node", "guest"), help="what to wait for")
    parser.add_argument(
        "goal",
        nargs="+",
        metavar="NAME",
        type=GOAL,
        action=ReadGoal,
        help="nodes [on|off], or [HOST:]GUEST… running|off|ip|ssh|console REGEX",
    )
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=kinds.duration_kind(60, _TIMEOUT_S, 600),
        default=_TIMEOUT_S,
        help=f"how long to wait, such as 90, 5m or 1h (default: {format_duration(_TIMEOUT_S)})",
    )


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line for each node or guest, as it gets there."""
    if args.what == "node":
        return _wait_for_nodes(context, args.goal, args.timeout)
    return _wait_for_guests(context, args.goal, args.timeout)


def rehearse(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line for each node or guest that would be waited for."""
    rehearsal, goal = context.rehearsal, args.goal
    if args.what == "node":
        on = goal.state == "on"
        yield from map(would, rehearse_wait(rehearsal, rehearsal.match(goal.names), args.timeout, on=on))
        return
    rehearsal.lets_time_pass()
    faults: list[MCluError] = []
    for node, guest in find_guests(rehearsal, goal.names, faults=faults):
        yield would(Planned("wait for", node.name, guest.name, f"{goal}, at most {format_duration(args.timeout)}"))
    yield from faults


def _wait_for_nodes(context: Context, goal: Goal, timeout_s: float) -> Iterator[Result]:
    def wait(node: Node, stop: threading.Event) -> None:
        if goal.state == "off":
            wait_until_off(node, timeout_s, stop)
        else:
            wait_until_on(node, timeout_s, stop, wakes=False)

    nodes = context.cloud.match(goal.names)
    tone = "quiet" if goal.state == "off" else "good"
    for outcome in wait_for_nodes(context.cloud, nodes, wait, lambda names: context.notify(_progress(names, goal))):
        yield outcome.error or Entry(outcome.item.name, goal.state, tone=tone)


def _wait_for_guests(context: Context, goal: Goal, timeout_s: float) -> Iterator[Result]:
    # What it needs takes some milliseconds to import, and nodes are waited for without it.
    from mclu_shell.cloud.patience import Patience
    from mclu_shell.cloud.waiting import Wanted, find_awaited, wait_for_guest

    faults: list[MCluError] = []
    patience = Patience(timeout_s)
    waiting = find_awaited(context.cloud, goal.names, faults)
    wanted = Wanted(goal.state, goal.pattern)
    try:
        context.notify(_progress([one.name for one in waiting], goal))
        for outcome in each(list(waiting), lambda one: wait_for_guest(context.cloud, one, wanted, patience)):
            waiting.remove(outcome.item)
            yield outcome.error or Entry(*outcome.unwrap(), tone="quiet" if goal.state == "off" else "good")
            context.notify(_progress([one.name for one in waiting], goal))
    finally:
        patience.end()
    yield from faults


def _progress(names: Sequence[str], goal: Goal) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"waiting for {', '.join(names[:_SHOWN])}{more} {goal}"
