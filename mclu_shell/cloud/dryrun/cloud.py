"""The cloud of a dry run: the real nodes, with the changes of its earlier lines applied to their answers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.concurrency.fanout import Outcome
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.power import STARTING
from mclu_shell.cloud.state.guest import Guest, NodeReport, is_active_state
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import NodeOff

Value = TypeVar("Value")


@dataclass(slots=True)
class _Changes:
    """The planned changes of one node; `is_on` is None if its power state is the real one."""

    is_on: bool | None = None
    # Woken, but no line has waited for it yet.
    is_waking: bool = False
    # By UUID: new guests, and the new states of existing ones.
    new_guests: dict[str, Guest] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    # UUIDs and paths.
    removed_guests: set[str] = field(default_factory=set)
    removed_files: set[str] = field(default_factory=set)

    def apply(self, guests: Iterable[Guest]) -> tuple[Guest, ...]:
        """Return the guests after the changes, by name."""
        kept = [guest for guest in guests if guest.uuid not in self.removed_guests]
        changed = [
            guest._replace(state=self.states[guest.uuid], reason="") if guest.uuid in self.states else guest
            for guest in kept
        ]
        return tuple(sorted((*changed, *self.new_guests.values()), key=lambda guest: guest.name))


class DryRunCloud(Cloud):
    """A cloud that answers with the state of the real nodes after the planned changes, and changes nothing.

    It shares the nodes of the real cloud, which closes them.
    """

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud.nodes, cloud.directory)
        self.asker = cloud.asker
        self._changes = {node.name: _Changes() for node in cloud.nodes}

    def query(self, fn: Callable[[Node], Value], nodes: Sequence[Node] | None = None) -> list[Outcome[Node, Value]]:
        """Query the nodes that would be on; the error is UnknownUntilUp for those that are really off."""
        nodes = self.nodes if nodes is None else nodes
        on = [node for node in nodes if self._changes[node.name].is_on is not False]
        real = {outcome.item.name: outcome for outcome in super().query(fn, on)}
        return [self._with_power(node, real.get(node.name)) for node in nodes]

    def _with_power(self, node: Node, real: Outcome[Node, Value] | None) -> Outcome[Node, Value]:
        changes = self._changes[node.name]
        if real is None:
            return Outcome(node, error=_still_waking(node) if changes.is_waking else NodeOff(node.name))
        if changes.is_on and isinstance(real.error, STARTING):
            return Outcome(node, error=UnknownUntilUp(node.name, changes.apply(())))
        if changes.is_waking and isinstance(real.error, NodeOff):
            return Outcome(node, error=_still_waking(node))
        return real

    def fetch_guests(
        self, nodes: Sequence[Node] | None = None, *, active: bool | None = None
    ) -> list[Outcome[Node, tuple[Guest, ...]]]:
        """Return the guests that nodes would have."""
        return [self._with_guests(outcome, active) for outcome in super().fetch_guests(nodes)]

    def _with_guests(
        self, outcome: Outcome[Node, tuple[Guest, ...]], active: bool | None
    ) -> Outcome[Node, tuple[Guest, ...]]:
        if outcome.error is not None:
            return outcome
        guests = self._changes[outcome.item.name].apply(outcome.unwrap())
        return Outcome(outcome.item, tuple(guest for guest in guests if active is None or guest.is_active == active))

    def fetch_reports(self, nodes: Sequence[Node] | None = None) -> list[Outcome[Node, NodeReport]]:
        """Return the resources and guests that nodes would have; stopped guests have freed their memory."""
        return [
            outcome if outcome.error else Outcome(outcome.item, self._report(outcome.item, outcome.unwrap()))
            for outcome in super().fetch_reports(nodes)
        ]

    def _report(self, node: Node, report: NodeReport) -> NodeReport:
        guests = self._changes[node.name].apply(report.guests)
        running = {guest.uuid for guest in guests if guest.is_active}
        was_running = {guest.uuid for guest in report.running}
        freed_bytes = sum(guest.memory_bytes for guest in report.running if guest.uuid not in running)
        added_bytes = sum(guest.memory_bytes for guest in guests if guest.is_active and guest.uuid not in was_running)
        available_bytes = min(report.info.memory_bytes, report.info.available_bytes + freed_bytes)
        promised_bytes = report.info.promised_bytes + added_bytes
        info = report.info._replace(available_bytes=available_bytes, promised_bytes=promised_bytes)
        return NodeReport(info, guests)

    def is_new(self, guest: Guest) -> bool:
        """Return whether an earlier line would have created the guest."""
        return guest.uuid in self._changes[guest.node].new_guests

    def is_changed(self, guest: Guest) -> bool:
        """Return whether an earlier line would have created the guest or changed its state."""
        return self.is_new(guest) or guest.uuid in self._changes[guest.node].states

    def removed_guests(self, node: Node) -> frozenset[str]:
        """Return the UUIDs of the guests that earlier lines would have removed from a node."""
        return frozenset(self._changes[node.name].removed_guests)

    def stopped_guests(self, node: Node) -> frozenset[str]:
        """Return the UUIDs of the guests of a node that earlier lines would have stopped."""
        states = self._changes[node.name].states
        return frozenset(uuid for uuid, state in states.items() if not is_active_state(state))

    def removed_files(self, node: Node) -> frozenset[str]:
        """Return the files that earlier lines would have removed from a node."""
        return frozenset(self._changes[node.name].removed_files)

    def add_guest(self, guest: Guest) -> None:
        """Record a new guest."""
        self._changes[guest.node].new_guests[guest.uuid] = guest

    def set_state(self, guest: Guest, state: str) -> None:
        """Record a guest's new state, in virsh's words."""
        changes = self._changes[guest.node]
        if self.is_new(guest):
            changes.new_guests[guest.uuid] = guest._replace(state=state)
        else:
            changes.states[guest.uuid] = state

    def remove_guest(self, guest: Guest, files: Iterable[str]) -> None:
        """Record the removal of a guest and its files."""
        changes = self._changes[guest.node]
        if changes.new_guests.pop(guest.uuid, None) is None:
            changes.removed_guests.add(guest.uuid)
            changes.removed_files.update(files)

    def mark_waking(self, node: Node) -> None:
        """Record that a node was woken, but not waited for."""
        self._changes[node.name].is_waking = True

    def set_power(self, node: Node, *, on: bool) -> None:
        """Record that a node is on, or off."""
        changes = self._changes[node.name]
        changes.is_on, changes.is_waking = on, False

    def assume_woken(self) -> None:
        """Treat woken nodes as on, after a step of unknown duration."""
        for changes in self._changes.values():
            if changes.is_waking:
                changes.is_on, changes.is_waking = True, False


def _still_waking(node: Node) -> NodeOff:
    fault = NodeOff(node.name)
    fault.fact = "is off, and no line waits until it is on"
    fault.remedy = f"use 'on {node.name} --wait'"
    return fault
