"""Start guests; resume paused ones, and wake suspended ones.

A guest whose memory was saved continues from there. A guest that is paused by an I/O error, such as a full disk, is
paused again at once if the error persists. 'reboot --hard' restarts a crashed guest.

A wildcard selects only guests that are shut off. To resume or wake a guest, name it.

Examples:
  start web
  start 'ham1:*'
"""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mclu_shell.argtypes import types
from mclu_shell.cloud.concurrency.fanout import gather
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
    """Add guests or wildcards."""
    parser.add_argument("guests", nargs="+", metavar="[HOST:]GUEST", type=types.STOPPED_GUEST, help="guest or wildcard")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per guest."""
    faults: list[MCluError] = []
    guests = find_guests(context.cloud, args.guests, active=False, faults=faults)
    # Before the changes: after an interrupt, nothing follows them.
    yield from faults
    for outcome in change_guests(guests, lifecycle.start):
        yield changed(outcome, "good")


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per guest that would be started."""
    from mclu_shell.cloud.dryrun.lifecycle import dry_run_start

    faults: list[MCluError] = []
    guests = find_guests(context.dry_run_cloud, args.guests, active=False, faults=faults)
    for outcome in gather(guests, lambda item: dry_run_start(context.dry_run_cloud, *item)):
        yield would(outcome.error or outcome.unwrap())
    yield from faults
