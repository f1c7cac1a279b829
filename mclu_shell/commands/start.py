"""Start guests that are shut off, and resume paused ones.

A wildcard selects only guests that are shut off. To resume a paused guest, name it.

Examples:
  start web
  start 'ham1:*'
"""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mclu_shell.argtypes import types
from mclu_shell.cloud.concurrency.fanout import as_completed, gather
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.guests import lifecycle
from mclu_shell.cloud.guests.find import find_guests
from mclu_shell.command import Context, Group, Parser
from mclu_shell.output.results import Result, changed, would

if TYPE_CHECKING:
    from mclu_shell.errors import MCluError

GROUP = Group.RUN
LINES = ("changed",)


def add_arguments(parser: Parser) -> None:
    """Add guests or wildcards."""
    parser.add_argument("guests", nargs="+", metavar="[HOST:]GUEST", type=types.STOPPED_GUEST, help="guest or wildcard")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per guest."""
    faults: list[MCluError] = []
    guests = find_guests(context.cloud, args.guests, active=False, faults=faults)
    for outcome in as_completed(guests, lambda item: lifecycle.start(*item)):
        yield changed(outcome, "good")
    yield from faults


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per guest that would be started."""
    from mclu_shell.cloud.dryrun.lifecycle import dry_run_start

    faults: list[MCluError] = []
    guests = find_guests(context.dry_run_cloud, args.guests, active=False, faults=faults)
    for outcome in gather(guests, lambda item: dry_run_start(context.dry_run_cloud, *item)):
        node, guest = outcome.item
        yield would(outcome.error or Planned(outcome.unwrap(), node.name, guest.name))
    yield from faults
