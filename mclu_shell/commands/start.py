"""Start guests that are defined, but not running, and let paused ones go on.

A wildcard means those that are shut off among the guests that match it; a paused one is resumed if it is named.

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
    """Guests or wildcards."""
    parser.add_argument("guests", nargs="+", metavar="[HOST:]GUEST", type=types.STOPPED_GUEST, help="guest or wildcard")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line per guest."""
    faults: list[MCluError] = []
    found = find_guests(context.cloud, args.guests, active=False, faults=faults)
    for outcome in as_completed(found, lambda one: lifecycle.start(*one)):
        yield changed(outcome, "good")
    yield from faults


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line per guest that would be started."""
    # Only a dry run needs it.
    from mclu_shell.cloud.dryrun.lifecycle import dry_run_start

    faults: list[MCluError] = []
    found = find_guests(context.dry_run_cloud, args.guests, active=False, faults=faults)
    for outcome in gather(found, lambda one: dry_run_start(context.dry_run_cloud, *one)):
        node, guest = outcome.item
        yield would(outcome.error or Planned(outcome.unwrap(), node.name, guest.name))
    yield from faults
