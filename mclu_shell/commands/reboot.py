"""Reboot guests: ask each to, or with --hard reset it, as its reset button would.

A guest that is asked may take its time, or not listen: nothing is waited for.

  reboot web
  reboot --hard 'ham1:*'
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
    """Guests or wildcards, and how."""
    parser.add_argument("guests", nargs="+", metavar="[HOST:]GUEST", type=types.RUNNING_GUEST, help="guest or wildcard")
    parser.add_argument("--hard", action="store_true", help="reset it instead of asking it")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line per guest."""
    faults: list[MCluError] = []
    found = find_guests(context.cloud, args.guests, active=True, faults=faults)
    for outcome in as_completed(found, lambda one: lifecycle.reboot(*one, hard=args.hard)):
        yield changed(outcome, "good")
    yield from faults


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line per guest that would be rebooted."""
    faults: list[MCluError] = []
    found = find_guests(context.dry_run_cloud, args.guests, active=True, faults=faults)
    for outcome in gather(found, lambda one: lifecycle.choose_reboot_action(*one, hard=args.hard)):
        node, guest = outcome.item
        yield would(outcome.error or Planned(outcome.unwrap(), node.name, guest.name))
    yield from faults
