"""Which nodes would be woken, waited for and switched off, remembered for the lines after it."""

from collections.abc import Iterator, Mapping, Sequence

from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.cloud.dryrun.cloud import DryRunCloud
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.power import STARTING, power_off_refusal
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import MCluError, NodeFault, NodeOff
from mclu_shell.units import format_duration

Told = Planned | MCluError
_Faults = Mapping[str, MCluError | None]


def dry_run_on(cloud: DryRunCloud, nodes: Sequence[Node], timeout_s: float | None) -> Iterator[Told]:
    """Tell the packet for each node; with a time limit, what would be waited for then."""
    faults = {outcome.item.name: outcome.error for outcome in cloud.reach(nodes)}
    woken = []
    for node in nodes:
        try:
            packet = node.packet()
        except NodeFault as fault:
            yield fault
            continue
        woken.append(node)
        cloud.mark_waking(node)
        though = ", though it is on" if _is_on(faults[node.name]) else ""
        how = f"a magic packet for {packet.mac} to {packet.broadcast} port {packet.port}{though}"
        yield Planned("wake", node.name, how=how, mac=packet.mac)
    if timeout_s is not None:
        yield from _wait(cloud, woken, faults, timeout_s)


def _is_on(fault: MCluError | None) -> bool:
    return fault is None or (isinstance(fault, NodeFault) and fault.power == "on")


def _wait(cloud: DryRunCloud, nodes: Sequence[Node], faults: _Faults, timeout_s: float) -> Iterator[Told]:
    for node in nodes:
        fault = faults[node.name]
        if fault is not None and not isinstance(fault, (*STARTING, UnknownUntilUp)):
            yield fault
            continue
        cloud.set_power(node, on=True)
        if fault is None:
            yield Planned("not wait for", node.name, how="on already")
        else:
            how = f"at most {format_duration(timeout_s)}, until libvirt answers there"
            yield Planned("wait for", node.name, how=how)


def dry_run_wait(cloud: DryRunCloud, nodes: Sequence[Node], timeout_s: float, *, on: bool) -> Iterator[Told]:
    """Tell which nodes would be waited for until they are on, or off."""
    faults = {outcome.item.name: outcome.error for outcome in cloud.reach(nodes)}
    if on:
        yield from _wait(cloud, nodes, faults, timeout_s)
        return
    for node in nodes:
        if isinstance(faults[node.name], NodeOff):
            yield Planned("not wait for", node.name, how="off already")
        else:
            cloud.set_power(node, on=False)
            yield Planned("wait for", node.name, how=f"at most {format_duration(timeout_s)}, until it is off")


def dry_run_off(cloud: DryRunCloud, nodes: Sequence[Node]) -> Iterator[Told]:
    """Tell which nodes would be switched off; if something speaks against one of them, what that is."""
    looked = dict(zip(nodes, _objections(cloud, nodes), strict=True))
    if any(_objects(objection) for objection in looked.values()):
        for node, objection in looked.items():
            left = Planned("leave", node.name, how="off" if isinstance(objection, NodeOff) else "on")
            yield objection if objection is not None and _objects(objection) else left
        return
    reachable = [node for node, objection in looked.items() if objection is None]
    found = {outcome.item: outcome.error for outcome in gather(reachable, lambda node: node.require_power_off())}
    for node, objection in looked.items():
        if fault := found.get(node):
            yield fault
            continue
        cloud.set_power(node, on=False)
        yield _switched_off(node, objection)


def _switched_off(node: Node, objection: MCluError | None) -> Planned:
    if isinstance(objection, NodeOff):
        return Planned("leave", node.name, how="off")
    if objection is not None:
        return Planned("switch off", node.name, how="if no guest runs on it, which is not known before it is up")
    return Planned("switch off", node.name, how="no guest runs on it")


def _objections(cloud: DryRunCloud, nodes: Sequence[Node]) -> list[MCluError | None]:
    """Why nodes must not be switched off; NodeOff and UnknownUntilUp are no objections."""
    outcomes = cloud.fetch_guests(nodes, active=True)
    return [
        power_off_refusal(
            outcome.item, outcome.error.guests if isinstance(outcome.error, UnknownUntilUp) else outcome.value or ()
        )
        or outcome.error
        for outcome in outcomes
    ]


def _objects(objection: MCluError | None) -> bool:
    return objection is not None and not isinstance(objection, NodeOff | UnknownUntilUp)
