"""Show a running guest's screen in a window, with remote-viewer.

The screen (VNC or SPICE) is reached through the SSH connection to its node, at an address of this machine
that no other user can connect to. At the prompt you can go on meanwhile.

  viewer web
  viewer --print web    the address, for another viewer; it is good until Ctrl-C, or until you leave the shell
"""

import argparse
from collections.abc import Iterator

from mclu_shell.argtypes import types
from mclu_shell.cloud.console.screen import find_screen
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.guests.find import find_guest
from mclu_shell.cloud.guests.lifecycle import require_active
from mclu_shell.command import Context, Group, Parser
from mclu_shell.output.results import Result, would

GROUP = Group.REACH
LINES = ("screen",)


def add_arguments(parser: Parser) -> None:
    """The guest, and whether its address is enough."""
    parser.add_argument("guest", metavar="[HOST:]GUEST", type=types.RUNNING_GUEST, help="guest that runs")
    parser.add_argument("--print", action="store_true", help="print the address instead of starting a viewer")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A viewer, or what one needs."""
    # Completion needs the arguments alone, and would wait for this; so it is below.
    from mclu_shell.attach import address_of, viewer_of

    node, guest = find_guest(context.cloud, args.guest)
    if args.print:
        yield from address_of(node, guest.name)
    else:
        yield viewer_of(node, guest.name)


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Whose screen would be shown."""
    from mclu_shell.attach import viewer_for

    node, guest = find_guest(context.dry_run_cloud, args.guest)
    require_active(node, guest)
    if not context.dry_run_cloud.is_changed(guest):
        # Else there is nothing to look at yet.
        find_screen(node, guest.name)
    if not args.print:
        viewer_for(node, guest.name)
    what = "address of the screen" if args.print else "viewer"
    yield would(Planned(f"open the {what} of", node.name, guest.name))
