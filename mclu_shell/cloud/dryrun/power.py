"""Dry runs of waking nodes, waiting for them and switching them off."""

from collections.abc import Iterator, Mapping, Sequence

from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.cloud.dryrun.cloud import DryRunCloud
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.nodes.power_refusal import power_off_refusal
from mclu_shell.cloud.power import STARTING
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import MCluError, NodeFault, NodeOff
from mclu_shell.units import format_duration

Result = Planned | MCluError
_Faults = Mapping[str, MCluError | None]


def dry_run_on(cloud: DryRunCloud, nodes: Sequence[Node], timeout_s: float | None) -> Iterator[Result]:
    """Yield the magic packet for each node and, with a time limit, the wait for the node."""
    faults = _power_faults(cloud, nodes)
    woken = []
    for node in nodes:
        try:
            packet = node.packet()
        except NodeFault as fault:
            yield fault
            continue
        woken.append(node)
        cloud.mark_waking(node)
        note = ", although it is on" if _is_on(faults[node.name]) else ""
        how = f"a magic packet for {packet.mac} to {packet.broadcast} port {packet.port}{note}"
        yield Planned("wake", node.name, how=how, mac=packet.mac)
    if timeout_s is not None:
        yield from _wait_until_on(cloud, woken, faults, timeout_s)


def _power_faults(cloud: DryRunCloud, nodes: Sequence[Node]) -> _Faults:
    return {outcome.item.name: outcome.error for outcome in cloud.reach(nodes)}


def _is_on(fault: MCluError | None) -> bool:
    return fault is None or (isinstance(fault, NodeFault) and fault.power == "on")


def _wait_until_on(cloud: DryRunCloud, nodes: Sequence[Node], faults: _Faults, timeout_s: float) -> Iterator[Result]:
    for node in nodes:
        fault = faults[node.name]
        if fault is not None and not isinstance(fault, (*STARTING, UnknownUntilUp)):
            yield fault
            continue
        cloud.set_power(node, on=True)
        if fault is None:
            yield Planned("not wait for", node.name, how="already on")
        else:
            how = f"at most {format_duration(timeout_s)}, until libvirt answers there"
            yield Planned("wait for", node.name, how=how)


def dry_run_wait_for_nodes(
    cloud: DryRunCloud, nodes: Sequence[Node], timeout_s: float, *, on: bool
) -> Iterator[Result]:
    """Yield a wait for each node until it is on, or off."""
    faults = _power_faults(cloud, nodes)
    if on:
        yield from _wait_until_on(cloud, nodes, faults, timeout_s)
        return
    for node in nodes:
        if isinstance(faults[node.name], NodeOff):
            yield Planned("not wait for", node.name, how="already off")
        else:
            cloud.set_power(node, on=False)
            yield Planned("wait for", node.name, how=f"at most {format_duration(timeout_s)}, until it is off")


def dry_run_off(cloud: DryRunCloud, nodes: Sequence[Node]) -> Iterator[Result]:
    """Yield the nodes that would be switched off; if one must stay on, none would be."""
    objections = dict(zip(nodes, _objections(cloud, nodes), strict=True))
    if any(_is_decisive(objection) for objection in objections.values()):
        for node, objection in objections.items():
            left = Planned("leave", node.name, how="off" if isinstance(objection, NodeOff) else "on")
            yield objection if objection is not None and _is_decisive(objection) else left
        return
    reachable = [node for node, objection in objections.items() if objection is None]
    faults = {outcome.item: outcome.error for outcome in gather(reachable, lambda node: node.require_power_off())}
    for node, objection in objections.items():
        if fault := faults.get(node):
            yield fault
            continue
        cloud.set_power(node, on=False)
        yield _switched_off(node, objection)


def _switched_off(node: Node, objection: MCluError | None) -> Planned:
    if isinstance(objection, NodeOff):
        return Planned("leave", node.name, how="off")
    if objection is not None:
        return Planned("switch off", node.name, how="if no guest runs on it (unknown until it is up)")
    return Planned("switch off", node.name, how="no guest runs on it")


def _objections(cloud: DryRunCloud, nodes: Sequence[Node]) -> list[MCluError | None]:
    """Return for each node the reason not to switch it off, or NodeOff or UnknownUntilUp, which are no reasons."""
    outcomes = cloud.fetch_guests(nodes, active=True)
    return [
        power_off_refusal(
            outcome.item.name,
            outcome.error.guests if isinstance(outcome.error, UnknownUntilUp) else outcome.value or (),
        )
        or outcome.error
        for outcome in outcomes
    ]


def _is_decisive(objection: MCluError | None) -> bool:
    return objection is not None and not isinstance(objection, NodeOff | UnknownUntilUp)
