"""Have a running guest's serial console in this terminal.

Every key goes to the guest, until you leave with ^] (Control and ]). What you type ahead goes there, too.
Where the input is no terminal, it is sent as it is, and the command ends with the guest, or with Ctrl-C.

  console web
  console ham0:web --log web.log    also append what it says to a file
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
    """The guest, and what is to be done besides."""
    parser.add_argument("guest", metavar="[HOST:]GUEST", type=types.RUNNING_GUEST, help="guest that runs")
    parser.add_argument("--log", metavar="FILE", type=types.FILE, help="append what the guest writes to a file")
    parser.add_argument("--force", action="store_true", help="take the console over from whoever has it")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """The console takes the terminal."""
    # Completion needs the arguments alone, and would wait for this; so it is below.
    from mclu_shell.attach import console_of

    context.require_text("console")
    node, guest = find_guest(context.cloud, args.guest)
    yield console_of(node, guest.name, force=args.force, log=args.log)


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Which console would take the terminal."""
    from mclu_shell.cloud.console.session import require_console
    from mclu_shell.dryrun import require_writable

    context.require_text("console")
    node, guest = find_guest(context.dry_run_cloud, args.guest)
    require_active(node, guest)
    if not context.dry_run_cloud.is_changed(guest):
        require_console(node, guest.name)
    if args.log is not None:
        require_writable(str(args.log))
    how = f"append what it writes to {args.log}" if args.log is not None else ""
    yield would(Planned("open the console of", node.name, guest.name, how))
