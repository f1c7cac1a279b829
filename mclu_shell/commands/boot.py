"""Create a guest from a template and start it.

Without HOST, the guest goes to the first node in mclu.conf that has enough free memory. The memory is reserved before
the build and checked again before the start. All other checks are made before anything is created. If a later step
fails or is interrupted, everything is removed again. Notes from the build, such as a generated password, are printed
below the guest's name.

Examples:
  boot tiny web
  boot rawhide ham1:test --size 20G --memory 4G
  boot tiny --console try
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from mclu_shell.argtypes import types
from mclu_shell.cloud.boot.request import BootRequest
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.command import Context, Group, Parser
from mclu_shell.output.results import Entry, Result, would
from mclu_shell.output.schema.guest_changes import Booted
from mclu_shell.signals import deferred

if TYPE_CHECKING:
    from mclu_shell.cloud.templates.template import Template

GROUP = Group.MAKE
LINES = ("booted",)


def add_arguments(parser: Parser) -> None:
    """Add the template, the new guest's name, and its resources."""
    parser.add_argument("template", metavar="TEMPLATE", type=types.TEMPLATE, help="template name ('list --templates')")
    parser.add_argument("guest", metavar="[HOST:]NAME", type=types.NEW_GUEST, help="name of the new guest")
    parser.add_argument("--memory", metavar="SIZE", type=types.size("1G", "2G", "4G", "8G"), help="memory, such as 4G")
    parser.add_argument("--size", metavar="SIZE", type=types.size("10G", "20G", "50G"), help="disk size, such as 20G")
    parser.add_argument("--timezone", metavar="TZ", type=types.TIMEZONE, help="time zone, such as Europe/London")
    parser.add_argument(
        "--vcpus", metavar="N", type=types.VCPUS, help="virtual CPUs (default: physical CPUs, at most 4)"
    )
    parser.add_argument("--console", action="store_true", help="attach to the guest's serial console")
    parser.add_argument("--viewer", action="store_true", help="show the guest's screen")


def _request(context: Context, args: argparse.Namespace) -> tuple["Template", "BootRequest"]:
    # Completion needs only the arguments; these imports would double its time.
    from mclu_shell.attach import require_viewer
    from mclu_shell.cloud.templates.template import find_template, read_template

    host, name = args.guest
    if args.console:
        context.require_text("--console")
    if args.viewer:
        require_viewer("or boot without --viewer, and use 'viewer --print'")
    opens = frozenset(word for word in ("console", "viewer") if getattr(args, word))
    request = BootRequest(name, host, args.memory, args.size, args.timezone, args.vcpus, opens)
    return read_template(find_template(args.template)), request


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield the new guest with its build's notes, then its screen and console if requested."""
    from mclu_shell.attach import console_of, viewer_of
    from mclu_shell.cloud.boot.boot import boot
    from mclu_shell.cloud.templates.directories import unreadable_directories

    template, request = _request(context, args)
    yield from unreadable_directories()
    with ExitStack() as interrupts:

        def on_start() -> None:
            interrupts.enter_context(deferred(lambda: None))

        booted = boot(context.cloud, template, request, context.notify, on_start)
        yield from booted.warnings
        name = request.name
        acceleration = booted.acceleration
        accel = (acceleration.kind or None, acceleration.reason or None)
        data = partial(Booted, booted.node.name, name, template.name, *accel, booted.notes)
        details = (acceleration.warning, *booted.notes) if acceleration.warning else booted.notes
        yield Entry(f"{booted.node.name}:{name}", "running", details, tone="good", data=data)
    if args.viewer:
        yield viewer_of(booted.node, name)
    if args.console:
        yield console_of(booted.node, name)


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield the guest that would be created, and the screen or console that would be opened."""
    from mclu_shell.cloud.dryrun.boot import dry_run_boot
    from mclu_shell.cloud.templates.directories import unreadable_directories

    template, request = _request(context, args)
    yield from unreadable_directories()
    dry_run = dry_run_boot(context.dry_run_cloud, template, request)
    yield from dry_run.warnings
    yield would(dry_run.planned)
    for view in ("viewer", "console"):
        if view in request.opens:
            yield would(Planned(f"open the {view} of", dry_run.node.name, request.name))
