"""Show a running guest's screen in a window (remote-viewer).

The screen (VNC or SPICE) is forwarded over the SSH connection to its node, to an address of this machine that no other
user can connect to. The prompt stays usable. With --print, the address is valid until Ctrl-C, or until you leave the
shell.

Examples:
  viewer web
  viewer --print web    print the address, for another viewer
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
    """Add the guest, and --print."""
    parser.add_argument("guest", metavar="[HOST:]GUEST", type=types.RUNNING_GUEST, help="running guest")
    parser.add_argument("--print", action="store_true", help="print the address instead of starting a viewer")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield the viewer, or the screen's address with --print."""
    # Completion needs only the arguments, so this import is not at the top.
    from mclu_shell.attach import address_of, viewer_of

    node, guest = find_guest(context.cloud, args.guest)
    if args.print:
        yield from address_of(node, guest.name)
    else:
        yield viewer_of(node, guest.name)


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield the viewer or the address that would be opened."""
    from mclu_shell.attach import viewer_for

    node, guest = find_guest(context.dry_run_cloud, args.guest)
    require_active(node, guest)
    if not context.dry_run_cloud.is_changed(guest):
        # A guest that earlier lines of the dry run start has no screen yet.
        find_screen(node, guest.name)
    if not args.print:
        viewer_for(node, guest.name)
    view = "address of the screen" if args.print else "viewer"
    yield would(Planned(f"open the {view} of", node.name, guest.name))
