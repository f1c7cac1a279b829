"""Delete guests for ever, with their data.

A guest's definition, its snapshots and saved memory, and the disks that mclu made for it are deleted. A disk
that mclu did not make, one that another guest uses, and the file behind a disk are never deleted: they are named.

  destroy web
  destroy 'ham1:test*' --yes
"""

import argparse
from collections.abc import Callable, Iterator, Sequence

from mclu_shell import kinds
from mclu_shell.cloud.destroy import Remains, destroy, find_remains
from mclu_shell.cloud.guest import Guest
from mclu_shell.cloud.guests import find_guests, has_wildcard
from mclu_shell.cloud.node import Node
from mclu_shell.cloud.parallel import Outcome, each, gather
from mclu_shell.command import Context, Parser
from mclu_shell.errors import MCluError, Refused
from mclu_shell.results import Entry, Result, Text
from mclu_shell.units import format_size

_Doomed = Outcome[tuple[Node, Guest], Remains]


def add_arguments(parser: Parser) -> None:
    """Guests or wildcards, and whether to ask."""
    parser.add_argument("guests", nargs="+", metavar="[HOST:]GUEST", type=kinds.GUEST, help="guest or wildcard")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """A line per guest, with what was kept of it."""
    if context.confirm is None and not args.yes and any(map(has_wildcard, args.guests)):
        raise Refused("a wildcard may mean more than you think", remedy="--yes destroys what it means")
    faults: list[MCluError] = []
    found = find_guests(context.cloud, args.guests, faults=faults)
    if args.yes or context.confirm is None:
        yield from _destroy([(node, guest, None) for node, guest in found])
    else:
        yield from _ask_and_destroy(context.confirm, found)
    yield from faults


def _ask_and_destroy(confirm: Callable[[str], bool], found: Sequence[tuple[Node, Guest]]) -> Iterator[Result]:
    outcomes = gather(found, lambda one: find_remains(*one))
    yield from (outcome.error for outcome in outcomes if outcome.error)
    doomed = [outcome for outcome in outcomes if not outcome.error]
    if doomed and confirm(_question(doomed)):
        yield from _destroy([(*outcome.item, outcome.unwrap()) for outcome in doomed])
    else:
        yield Text("Nothing was destroyed.")


def _destroy(doomed: Sequence[tuple[Node, Guest, Remains | None]]) -> Iterator[Result]:
    for outcome in each(doomed, lambda one: destroy(*one)):
        node, guest, _ = outcome.item
        kept = tuple(f"kept: {file} ({why})" for file, why in outcome.value.leave) if outcome.value else ()
        yield outcome.error or Entry(f"{node.name}:{guest.name}", "destroyed", kept, tone="quiet")


def _question(doomed: Sequence[_Doomed]) -> str:
    lines = []
    for outcome in doomed:
        (node, guest), remains = outcome.item, outcome.unwrap()
        lines.append(f"{guest.name} on {node.name} ({guest.state}), {format_size(remains.size_bytes)} on disk")
        lines += [f"  deleted: {file}" for file, _ in remains.delete]
        lines += [f"  kept: {file} ({why})" for file, why in remains.leave]
    return "\n".join([*lines, "Destroy it?" if len(doomed) == 1 else f"Destroy these {len(doomed)} guests?"])
