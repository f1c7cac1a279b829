"""A query of all candidates in parallel: which of them are nodes, and how they can be woken."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.concurrency.fanout import Outcome, gather
from mclu_shell.cloud.discovery.candidates import Candidate, Source
from mclu_shell.cloud.discovery.neighbours import find_mac, read_neighbours
from mclu_shell.cloud.discovery.network_card import SCRIPT, MachineReport, NetworkCard, parse_report
from mclu_shell.cloud.nodes.auth_prompts import retry_after_prompts
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.open import TransportFactory, open_cloud
from mclu_shell.cloud.state.guest import NodeInfo
from mclu_shell.cloud.transport.openssh.config import SSHConfig, Target
from mclu_shell.cloud.transport.runtime_dir import socket_name
from mclu_shell.config import Config, NodeConfig
from mclu_shell.errors import (
    ConnectionLost,
    LibvirtFault,
    MCluError,
    NodeFault,
    NodeOff,
    PromptRequired,
    Question,
    SSHFault,
)

# More logins at a time make each so slow that it misses its deadline.
_MOST_QUERIES = 48

Asker = Callable[[Question], str | None]


class Answer(NamedTuple):
    """The answer of a node that is on."""

    info: NodeInfo
    machine: MachineReport


class Host(NamedTuple):
    """A candidate, and the reason not to write it into mclu.conf, which is empty for a new node."""

    candidate: Candidate
    reason: str = ""
    # The error of a host that did not answer.
    error: MCluError | None = None
    info: NodeInfo | None = None
    card: NetworkCard | None = None
    # The MAC address, of the card or from a neighbour table.
    mac: str | None = None

    @property
    def name(self) -> str:
        """The name of the node."""
        return self.candidate.name

    @property
    def is_new(self) -> bool:
        """True if the host is a node that mclu.conf does not have yet."""
        return not self.reason

    @property
    def config(self) -> NodeConfig:
        """The settings of the node's line in mclu.conf."""
        return self.candidate.config._replace(mac=self.mac)

    @property
    def power(self) -> str:
        """The host's power state: "on", "off" or "unknown"."""
        if self.error is None:
            return "on"
        return self.error.power if isinstance(self.error, NodeFault) else "unknown"

    @property
    def is_off(self) -> bool:
        """True if the host is switched off."""
        return isinstance(self.error, NodeOff)


def survey(config: SSHConfig, candidates: Sequence[Candidate], asker: Asker | None) -> list[Host]:
    """Query all candidates in parallel, and return them in their order.

    `asker` replies to ssh's questions about the hosts that the user named or configured. Several names of one machine
    give one node: the first.
    """
    # The queries change the table.
    neighbours = read_neighbours()
    targets = {one.item.name: one.value for one in gather(candidates, lambda item: config.resolve(item.config))}
    hosts = list(_without_known_twins(candidates, targets))
    outcomes = _query(hosts, asker)
    answers = {outcome.item.name: outcome.value for outcome in outcomes if outcome.value}
    for answer in answers.values():
        neighbours |= {ip: mac for ip, mac in answer.machine.neighbours.items() if ip not in neighbours}
    off = [name for name, target in targets.items() if name not in answers and target]
    macs = {one.item: one.value for one in gather(off, lambda name: _find_mac(targets[name], neighbours))}
    described = (_host(host, outcome, macs.get(host.name)) for host, outcome in zip(hosts, outcomes, strict=True))
    return list(_judged(described, answers))


def _find_mac(target: Target | None, neighbours: Mapping[str, str]) -> str | None:
    return find_mac(target, neighbours) if target else None


def _without_known_twins(candidates: Iterable[Candidate], targets: Mapping[str, Target | None]) -> Iterator[Candidate]:
    """Yield the candidates without the entries of known_hosts for a host that has another name already."""
    seen: set[tuple[str, int, str]] = set()
    for candidate in candidates:
        target = targets[candidate.name]
        place = (target.host, target.port, target.proxy) if target else (candidate.name, 0, "")
        if place not in seen or candidate.source != Source.KNOWN_HOSTS:
            yield candidate
        seen.add(place)


def _query(candidates: Sequence[Candidate], asker: Asker | None) -> list[Outcome[Node, Answer]]:
    nodes = tuple(candidate.config for candidate in candidates)
    cloud = open_cloud(Config(Path(), nodes), _make_nodes)
    try:
        return _query_cloud(cloud, candidates, asker)
    finally:
        cloud.close()


def _query_cloud(cloud: Cloud, candidates: Sequence[Candidate], asker: Asker | None) -> list[Outcome[Node, Answer]]:
    ask = partial(_query_node, threading.BoundedSemaphore(_MOST_QUERIES))
    outcomes = {outcome.item.name: outcome for outcome in cloud.query(ask)}
    if asker is not None:
        wanted = [outcomes[one.name] for one in candidates if one.source != Source.KNOWN_HOSTS]
        outcomes |= {outcome.item.name: outcome for outcome in retry_after_prompts(wanted, ask, asker)}
    return [outcomes[candidate.name] for candidate in candidates]


def _make_nodes(config: Config, directory: Path) -> list[Node]:
    factory = TransportFactory()
    paths = (directory / socket_name(number) for number in range(len(config.nodes)))
    return [Node(node, factory.make(node, path)) for node, path in zip(config.nodes, paths, strict=True)]


def _query_node(slots: threading.BoundedSemaphore, node: Node) -> Answer:
    with slots:
        info = node.fetch_report().info
        try:
            machine = parse_report(node.run_read_only(SCRIPT, node.config.answer_timeout).out)
        except (ConnectionLost, SSHFault):
            # sshd may forward libvirt's socket, but run no commands.
            machine = MachineReport()
        return Answer(info, machine)


def _host(candidate: Candidate, outcome: Outcome[Node, Answer], mac: str | None) -> Host:
    if outcome.value is None:
        return Host(candidate, error=outcome.error, mac=candidate.config.mac or mac)
    info, machine = outcome.value
    return Host(candidate, info=info, card=machine.card, mac=machine.card.mac if machine.card else mac)


def _judged(hosts: Iterable[Host], answers: Mapping[str, Answer]) -> Iterator[Host]:
    """Yield the hosts with the reasons not to write some of them."""
    machines: dict[str, str] = {}
    macs: dict[str, str] = {}
    for host in hosts:
        answer = answers.get(host.name)
        machine = answer.machine.machine if answer else ""
        twin = machines.get(machine) or (macs.get(host.mac or "") if host.is_off else None)
        reason = _reason(host, twin)
        yield host._replace(reason=reason)
        if not twin and machine:
            machines[machine] = host.name
        if not twin and host.mac:
            macs[host.mac] = host.name


def _reason(host: Host, twin: str | None) -> str:
    if host.candidate.source == Source.FILE:
        return _known(host)
    if twin:
        return f"the same machine as {twin}"
    if host.is_off:
        known = host.mac or host.candidate.source == Source.NAMED
        return "" if known else "its MAC address is unknown while it is off"
    return _fault(host.error, host.candidate.source) if host.error else ""


def _fault(error: MCluError, source: Source) -> str:
    """Return the fault of a host, with the remedy if the user configured it and it is probably a node."""
    has_remedy = source == Source.SSH and isinstance(error, LibvirtFault | PromptRequired) and error.remedy
    return f"{error.fact}; {error.remedy}" if has_remedy else error.fact


def _known(host: Host) -> str:
    """Return the reason for a node of mclu.conf, with its MAC address if it is missing or wrong there."""
    if host.card is None or host.candidate.config.mac == host.card.mac:
        return "already in mclu.conf"
    fault = "without a MAC address" if host.candidate.config.mac is None else "with another MAC address"
    return f"already in mclu.conf, but {fault}: it is {host.card.mac}"
