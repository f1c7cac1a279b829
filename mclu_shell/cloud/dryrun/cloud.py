"""The cloud as a dry run has it: as the nodes really are, but for what its lines so far would have changed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.concurrency.fanout import Outcome
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.power import STARTING
from mclu_shell.cloud.state.guest import Guest, NodeReport
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import NodeOff

Value = TypeVar("Value")


@dataclass(slots=True)
class _Changes:
    """What would have become of one node: `is_on` is None where that is as it really is."""

    is_on: bool | None = None
    is_waking: bool = False
    # By UUID: guests that would have been made, the states that those there would be in, and those that would be gone.
    made: dict[str, Guest] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    gone_files: set[str] = field(default_factory=set)

    def applied(self, there: Iterable[Guest]) -> tuple[Guest, ...]:
        """The guests that would be there, by name."""
        kept = [guest for guest in there if guest.uuid not in self.gone]
        changed = [
            guest._replace(state=self.states[guest.uuid], reason="") if guest.uuid in self.states else guest
            for guest in kept
        ]
        return tuple(sorted((*changed, *self.made.values()), key=lambda guest: guest.name))


class DryRunCloud(Cloud):
    """A cloud that nothing is changed in. Its answers are those of the real nodes, with what was rehearsed.

    It has the nodes of the cloud that it is made from, which closes them.
    """

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud.nodes, cloud.directory)
        self.asker = cloud.asker
        self._changes = {node.name: _Changes() for node in cloud.nodes}

    def query(self, fn: Callable[[Node], Value], nodes: Sequence[Node] | None = None) -> list[Outcome[Node, Value]]:
        """Ask the nodes that would be on; UnknownUntilUp of those that really are not."""
        asked = self.nodes if nodes is None else nodes
        on = [node for node in asked if self._changes[node.name].is_on is not False]
        real = {outcome.item.name: outcome for outcome in super().query(fn, on)}
        return [self._adjusted(node, real.get(node.name)) for node in asked]

    def _adjusted(self, node: Node, real: Outcome[Node, Value] | None) -> Outcome[Node, Value]:
        changes = self._changes[node.name]
        if real is None:
            return Outcome(node, error=_still_waking(node) if changes.is_waking else NodeOff(node.name))
        if changes.is_on and isinstance(real.error, STARTING):
            return Outcome(node, error=UnknownUntilUp(node.name, changes.applied(())))
        if changes.is_waking and isinstance(real.error, NodeOff):
            return Outcome(node, error=_still_waking(node))
        return real

    def fetch_guests(
        self, nodes: Sequence[Node] | None = None, *, active: bool | None = None
    ) -> list[Outcome[Node, tuple[Guest, ...]]]:
        """The guests that nodes would have."""
        return [self._with_guests(outcome, active) for outcome in super().fetch_guests(nodes)]

    def _with_guests(
        self, outcome: Outcome[Node, tuple[Guest, ...]], active: bool | None
    ) -> Outcome[Node, tuple[Guest, ...]]:
        if outcome.error is not None:
            return outcome
        guests = self._changes[outcome.item.name].applied(outcome.unwrap())
        return Outcome(outcome.item, tuple(guest for guest in guests if active is None or guest.is_active == active))

    def fetch_reports(self, nodes: Sequence[Node] | None = None) -> list[Outcome[Node, NodeReport]]:
        """What nodes would have; a guest that would be stopped gives its memory back."""
        return [
            outcome if outcome.error else Outcome(outcome.item, self._report(outcome.item, outcome.unwrap()))
            for outcome in super().fetch_reports(nodes)
        ]

    def _report(self, node: Node, report: NodeReport) -> NodeReport:
        guests = self._changes[node.name].applied(report.guests)
        running = {guest.uuid for guest in guests if guest.is_active}
        ran = {guest.uuid for guest in report.running}
        back = sum(guest.memory_bytes for guest in report.running if guest.uuid not in running)
        more = sum(guest.memory_bytes for guest in guests if guest.is_active and guest.uuid not in ran)
        available = min(report.info.memory_bytes, report.info.available_bytes + back)
        promised = report.info.promised_bytes + more
        return NodeReport(report.info._replace(available_bytes=available, promised_bytes=promised), guests)

    def is_made(self, guest: Guest) -> bool:
        """Whether a guest is none that is there, but one that would have been made."""
        return guest.uuid in self._changes[guest.node].made

    def is_changed(self, guest: Guest) -> bool:
        """Whether a guest is not what its node would tell of it."""
        return self.is_made(guest) or guest.uuid in self._changes[guest.node].states

    def gone(self, node: Node) -> frozenset[str]:
        """The UUIDs of guests of a node that would be gone."""
        return frozenset(self._changes[node.name].gone)

    def gone_files(self, node: Node) -> frozenset[str]:
        """The files of a node that would be gone."""
        return frozenset(self._changes[node.name].gone_files)

    # What a line would change.

    def add_guest(self, guest: Guest) -> None:
        """A guest would have been made."""
        self._changes[guest.node].made[guest.uuid] = guest

    def set_state(self, guest: Guest, state: str) -> None:
        """A guest would be in another state, in virsh's words."""
        changes = self._changes[guest.node]
        if self.is_made(guest):
            changes.made[guest.uuid] = guest._replace(state=state)
        else:
            changes.states[guest.uuid] = state

    def remove_guest(self, guest: Guest, files: Iterable[str]) -> None:
        """A guest would be gone, with files of its own."""
        changes = self._changes[guest.node]
        if changes.made.pop(guest.uuid, None) is None:
            changes.gone.add(guest.uuid)
            changes.gone_files.update(files)

    def mark_waking(self, node: Node) -> None:
        """A node would have been woken, and nobody waited for it."""
        self._changes[node.name].is_waking = True

    def set_power(self, node: Node, *, on: bool) -> None:
        """A node would be on, or off."""
        changes = self._changes[node.name]
        changes.is_on, changes.is_waking = on, False

    def assume_woken(self) -> None:
        """Something is done that takes nobody knows how long: what was woken may be up."""
        for changes in self._changes.values():
            if changes.is_waking:
                changes.is_on, changes.is_waking = True, False


def _still_waking(node: Node) -> NodeOff:
    fault = NodeOff(node.name)
    fault.fact = "is off, and nothing waits until it is up"
    fault.remedy = f"'on {node.name} --wait' does"
    return fault
