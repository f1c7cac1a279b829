"""Reboot guests.

Each guest is asked to reboot. The command does not wait for it, and a guest may take long or ignore the request. With
--hard, guests are reset at once, as with their reset button. That also restarts guests that are paused, suspended or
crashed.

Examples:
  reboot web
  reboot --hard 'ham1:*'
"""

import argparse
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from mclu_shell.argtypes import types
from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.guests import lifecycle
from mclu_shell.cloud.guests.changes import change_guests
from mclu_shell.cloud.guests.find import find_guests
from mclu_shell.command import Context, Group, Parser
from mclu_shell.output.results import Result, changed, would

if TYPE_CHECKING:
    from mclu_shell.errors import MCluError

GROUP = Group.RUN
LINES = ("changed",)


def add_arguments(parser: Parser) -> None:
    """Add guests or wildcards, and --hard."""
    parser.add_argument("guests", nargs="+", metavar="[HOST:]GUEST", type=types.RUNNING_GUEST, help="guest or wildcard")
    parser.add_argument("--hard", action="store_true", help="reset the guests instead of asking them")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per guest."""
    faults: list[MCluError] = []
    guests = find_guests(context.cloud, args.guests, active=True, faults=faults)
    # Before the changes: after an interrupt, nothing follows them.
    yield from faults
    for outcome in change_guests(guests, partial(lifecycle.reboot, hard=args.hard)):
        yield changed(outcome, "good")


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per guest that would be rebooted."""
    faults: list[MCluError] = []
    guests = find_guests(context.dry_run_cloud, args.guests, active=True, faults=faults)
    for outcome in gather(guests, lambda item: lifecycle.choose_reboot_action(*item, hard=args.hard)):
        node, guest = outcome.item
        yield would(outcome.error or Planned(outcome.unwrap(), node.name, guest.name))
    yield from faults
