"""Find your nodes and write mclu.conf.

Without HOST, the candidates are the hosts of your SSH configuration (~/.ssh/config and the files that it includes) and
of known_hosts. mclu logs in to all of them at the same time, as ssh does, and looks for libvirt and for the network
card that carries the connection. It shows a table, asks once, and writes the nodes that it found.

Not written, but listed with the reason:
  hosts without libvirt, or that refuse the login
  a second name of a machine
  hosts that are off, if their MAC address is unknown; name them
    to write them without it

An existing mclu.conf keeps all its lines; new nodes are added at the end.

Examples:
  init
  init ham0 ham1 admin@ham2
  init --yes
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.argtypes import types
from mclu_shell.command import Context, Group, Parser
from mclu_shell.errors import MCluError, Refused, UsageError
from mclu_shell.output.results import Result, Row, Table, Text, would
from mclu_shell.output.text_renderer import printable
from mclu_shell.units import format_size

if TYPE_CHECKING:
    from mclu_shell.cloud.discovery.config_file import ConfigFile, NodeLine
    from mclu_shell.cloud.discovery.survey import Host
    from mclu_shell.output.schema.record import Record

GROUP = Group.SHELL
LINES = ("candidate", "configuration")

_HEADER = Row(("NODE", "STATE", "CPUS", "MEMORY", "MAC", "NIC", "WAKE-ON-LAN"), tone="quiet")
_REST_HEADER = Row(("NOT WRITTEN", "FROM", "REASON"), tone="quiet")
_ARMED = {True: "armed", False: "not armed", None: "unknown"}


def add_arguments(parser: Parser) -> None:
    """Add hosts, and --yes."""
    parser.add_argument("hosts", nargs="*", metavar="[USER@]HOST", type=types.HOST, help="host (default: all known)")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before writing")


class _Plan(NamedTuple):
    """The file to write, the hosts that were queried, and the number of hashed entries of known_hosts."""

    file: "ConfigFile"
    hosts: "Sequence[Host]"
    hashed: int

    @property
    def new(self) -> "list[Host]":
        return [host for host in self.hosts if host.is_new]

    @property
    def names(self) -> str:
        return ", ".join(host.name for host in self.new)

    @property
    def question(self) -> str:
        path = self.file.path
        return f"Write {path} with {self.names}?" if self.file.content is None else f"Add {self.names} to {path}?"


def run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield the tables of hosts, then the file that was written."""
    if context.confirm is None and not args.yes:
        raise Refused("init: cannot ask without a terminal", remedy="add --yes to write without a question")
    plan = _survey(context, args)
    yield from _describe(plan)
    if plan.new and (args.yes or (context.confirm is not None and context.confirm(plan.question))):
        plan.file.write(plan.file.text_with(list(_lines(plan))))
        yield Text(_written(context, plan), data=partial(_configuration, plan, written=True))
    else:
        yield Text("Nothing was written.", data=partial(_configuration, plan, written=False))
    yield from _faults(plan)


def dry_run(context: Context, args: argparse.Namespace) -> Iterator[Result]:
    """Yield the same tables, and the file that would be written."""
    from mclu_shell.cloud.dryrun.planned import Planned

    plan = _survey(context, args)
    yield from _describe(plan)
    if plan.new:
        verb = "write" if plan.file.content is None else "add to"
        yield would(Planned(verb, path=str(plan.file.path), how=plan.names))
    yield from _faults(plan)


def _survey(context: Context, args: argparse.Namespace) -> _Plan:
    """Query the candidates, and the nodes that the file has already."""
    # Completion needs only the arguments.
    from mclu_shell.cloud.discovery.candidates import Candidate, Source, find_candidates, named_candidates
    from mclu_shell.cloud.discovery.config_file import open_config_file
    from mclu_shell.cloud.discovery.survey import survey
    from mclu_shell.cloud.transport.openssh.config import SSHConfig

    if (path := context.find_config()) is None:
        raise UsageError("init: the simulated nodes have no mclu.conf", remedy="leave out --demo")
    file, config = open_config_file(path), SSHConfig()
    candidates = named_candidates(args.hosts) if args.hosts else find_candidates(config)
    names = {node.name for node in file.nodes}
    present = [Candidate(node, Source.FILE) for node in file.nodes]
    hosts = [*present, *(candidate for candidate in candidates.hosts if candidate.name not in names)]
    context.notify(f"querying {len(hosts)} hosts")
    return _Plan(file, survey(config, hosts, context.ask), candidates.hashed)


def _describe(plan: _Plan) -> Iterator[Result]:
    if plan.new:
        yield Table((_HEADER, *map(_row, plan.new)))
    if rest := [host for host in plan.hosts if not host.is_new]:
        yield Table((_REST_HEADER, *map(_rest_row, rest)))
    if plan.hashed:
        entries = "entry" if plan.hashed == 1 else "entries"
        yield Text(f"{plan.hashed} hashed {entries} of known_hosts cannot be listed; name those hosts: 'init HOST…'")


def _row(host: "Host") -> Row:
    info, card = host.info, host.card
    size = (str(info.pcpus), format_size(info.memory_bytes)) if info else ("", "")
    wake = _ARMED[card.is_armed] if card else ""
    cells = (host.name, host.power, *size, host.mac or "unknown", card.name if card else "", wake)
    return Row(cells, data=partial(_host_record, host))


def _rest_row(host: "Host") -> Row:
    return Row((host.name, str(host.candidate.source), host.reason), data=partial(_host_record, host))


def _host_record(host: "Host") -> "Record":
    # Only -o json needs the records.
    from mclu_shell.output.schema.init import candidate_record

    return candidate_record(host)


def _configuration(plan: _Plan, *, written: bool) -> "Record":
    from mclu_shell.output.schema.init import Configuration

    names = tuple(host.name for host in plan.new)
    return Configuration(str(plan.file.path), names, written=written, hashed=plan.hashed)


def _written(context: Context, plan: _Plan) -> str:
    nodes = "1 node" if len(plan.new) == 1 else f"{len(plan.new)} nodes"
    hint = "; leave the shell and start it again to use them" if context.prompt else ""
    return f"{plan.file.path}: {nodes} written{hint}"


def _lines(plan: _Plan) -> "Iterator[NodeLine]":
    """Yield a line per new node; in a new file, also a comment per host that may be a node and is off."""
    from mclu_shell.cloud.discovery.config_file import NodeLine

    yield from (NodeLine(host.config, _comment(host)) for host in plan.new)
    for host in plan.hosts if plan.file.content is None else ():
        if host.is_off and not host.is_new and host.candidate.source == "SSH configuration":
            yield NodeLine(host.config, host.reason, active=False)


def _comment(host: "Host") -> str:
    """Return the comment on a node: its card, or how its MAC address was found."""
    if host.card is not None:
        wake = f"Wake-on-LAN {_ARMED[host.card.is_armed]}"
        return printable(f"{host.card.name}, {wake}")
    if host.is_off:
        return "off; MAC address from a neighbour table" if host.mac else "off; add mac= to wake it"
    return "MAC address not found; add mac= to wake it"


def _faults(plan: _Plan) -> Iterator[MCluError]:
    """Yield the errors of the hosts that the user named, or that there is no node at all."""
    hosts = plan.hosts
    yield from (host.error for host in hosts if host.error and host.reason and host.candidate.source == "named")
    if not any(host.is_new or host.candidate.source in ("mclu.conf", "named") for host in hosts):
        yield MCluError("no node found", remedy="name your hosts: 'init HOST…'")
