"""Attach to a running guest's serial console.

Every key goes to the guest, except ^] (Control and ]), which detaches. Keys typed before the console opens are sent,
too. If stdin is not a terminal, it is sent unchanged, and the command ends when the guest stops, or with Ctrl-C.

Examples:
  console web
  console ham0:web --log web.log    also append its output to a file
"""

import argparse
from collections.abc import Iterator

from mclu_shell.argtypes import types
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.guests.find import find_guest
from mclu_shell.cloud.guests.lifecycle import require_active
from mclu_shell.command import Context, Group, Parser
from mclu_shell.output.results import Result, would

GROUP = Group.REACH
LINES = ()


def add_arguments(parser: Parser) -> None:
    """Add the guest, a log file, and --force."""
    parser.add_argument("guest", metavar="[HOST:]GUEST", type=types.RUNNING_GUEST, help="running guest")
    parser.add_argument("--log", metavar="FILE", type=types.FILE, help="also append the guest's output to a file")
    parser.add_argument("--force", action="store_true", help="disconnect another session of this console")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield the console session, which takes over the terminal."""
    # Completion needs only the arguments, so this import is not at the top.
    from mclu_shell.attach import console_of

    context.require_text("console")
    node, guest = find_guest(context.cloud, args.guest)
    yield console_of(node, guest.name, force=args.force, log=args.log)


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield the console that would be opened."""
    from mclu_shell.cloud.console.session import require_console
    from mclu_shell.dry_run_text import require_writable

    context.require_text("console")
    node, guest = find_guest(context.dry_run_cloud, args.guest)
    require_active(node, guest)
    if not context.dry_run_cloud.is_changed(guest):
        require_console(node, guest.name)
    if args.log is not None:
        require_writable(str(args.log))
    how = f"append what it writes to {args.log}" if args.log is not None else ""
    yield would(Planned("open the console of", node.name, guest.name, how))
