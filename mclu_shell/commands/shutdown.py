"""Shut guests down, and wait until they are off.

Each guest is asked to shut down. A guest may ignore the request: no ACPI, no agent, a question on its screen, or
hanging. It keeps running after --timeout; with --force it is then powered off, like pulling its plug.

Guests that are paused, suspended or crashed cannot respond and require --force, which stops a crashed guest at once.

Examples:
  shutdown web
  shutdown 'ham1:*' --timeout 5m --force
"""

import argparse
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from mclu_shell.argtypes import types
from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.guests.changes import change_guests
from mclu_shell.cloud.guests.find import find_guests
from mclu_shell.cloud.guests.shutdown import shutdown
from mclu_shell.command import Context, Group, Parser
from mclu_shell.output.results import Result, changed, would
from mclu_shell.units import format_duration

if TYPE_CHECKING:
    from mclu_shell.errors import MCluError

GROUP = Group.RUN
LINES = ("changed",)
_TIMEOUT_S = 120


def add_arguments(parser: Parser) -> None:
    """Add guests or wildcards, --timeout, and --force."""
    parser.add_argument("guests", nargs="+", metavar="[HOST:]GUEST", type=types.RUNNING_GUEST, help="guest or wildcard")
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=types.duration(60, _TIMEOUT_S, 300),
        default=_TIMEOUT_S,
        help=f"time limit, such as 90, 5m or 1h (default: {format_duration(_TIMEOUT_S)})",
    )
    parser.add_argument("--force", action="store_true", help="power off guests that still run after --timeout")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per guest as it stops."""
    faults: list[MCluError] = []
    guests = find_guests(context.cloud, args.guests, active=True, faults=faults)
    # Before the changes: after an interrupt, nothing follows them.
    yield from faults
    names = ", ".join(f"{node.name}:{guest.name}" for node, guest in guests)
    context.notify(f"waiting for {names} to shut down")
    scope = CancelScope(args.timeout)
    for outcome in change_guests(guests, partial(shutdown, scope=scope, force=args.force), scope):
        yield changed(outcome, "quiet")


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per guest that would be shut down."""
    from mclu_shell.cloud.dryrun.lifecycle import dry_run_shutdown

    faults: list[MCluError] = []
    guests = find_guests(context.dry_run_cloud, args.guests, active=True, faults=faults)
    otherwise = ", and then stop it by force" if args.force else ""
    for outcome in gather(guests, lambda item: dry_run_shutdown(context.dry_run_cloud, *item, force=args.force)):
        node, guest = outcome.item
        how = f"ask it to, wait at most {format_duration(args.timeout)}{otherwise}"
        yield would(outcome.error or Planned("shut down", node.name, guest.name, how))
    yield from faults
