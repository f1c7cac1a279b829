"""Switch nodes on with Wake-on-LAN.

The magic packet goes to the node's mac= in mclu.conf. Nodes do not confirm it. With --wait, the command ends when
libvirt answers on every node; until then it resends the packet from time to time.

Examples:
  on ham1
  on 'ham*' --wait
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial

from mclu_shell.argtypes import types
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.power import wait_for_nodes, wait_until_on, wake_nodes
from mclu_shell.command import Context, Group, Parser
from mclu_shell.output.results import Entry, Result, Text, would
from mclu_shell.output.schema.power import Power, Waking
from mclu_shell.units import format_duration

GROUP = Group.NODES
LINES = ("waking", "power")
_WAIT_S = 300


def add_arguments(parser: Parser) -> None:
    """Add nodes or wildcards, and --wait."""
    parser.add_argument("nodes", nargs="+", metavar="NODE", type=types.NODE_TO_WAKE, help="node or wildcard")
    parser.add_argument(
        "--wait",
        nargs="?",
        const=_WAIT_S,
        metavar="SECONDS",
        type=types.duration(60, _WAIT_S, 600),
        help=f"wait until libvirt answers (default: at most {format_duration(_WAIT_S)})",
    )


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per packet; with --wait, also one per node that is up."""
    woken = []
    for outcome in wake_nodes(context.cloud.match(args.nodes)):
        node, mac = outcome.item, str(outcome.item.config.mac)
        if outcome.error is None:
            woken.append(node)
        yield outcome.error or Text(f"Waking up {mac}...", data=partial(Waking, node.name, mac))
    if args.wait is not None:
        yield from _wait(context, woken, args.wait)


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield a line per packet that would be sent; with --wait, also one per node to wait for."""
    from mclu_shell.cloud.dryrun.power import dry_run_on

    cloud = context.dry_run_cloud
    yield from map(would, dry_run_on(cloud, cloud.match(args.nodes), args.wait))


def _wait(context: Context, nodes: list[Node], timeout_s: float) -> Iterator[Result]:
    for outcome in wait_for_nodes(
        context.cloud, nodes, timeout_s, wait_until_on, lambda names: context.notify(_waiting_for(names))
    ):
        name = outcome.item.name
        yield outcome.error or Entry(name, "on", tone="good", data=partial(Power, name, "on"))


def _waiting_for(names: Sequence[str]) -> str:
    return f"waiting for {', '.join(names)} to come up" if names else ""
