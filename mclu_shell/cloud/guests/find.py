"""Which guests are meant: names and wildcards, with or without their node, looked for on all nodes at once."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.guest_name import GuestPattern, has_wildcard, parse_guest
from mclu_shell.cloud.state.unknown import UnknownUntilUp
from mclu_shell.errors import Ambiguous, MCluError, NodeOff, NotFound, UsageError, did_you_mean

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud
    from mclu_shell.cloud.nodes.node import Node


@dataclass(slots=True)
class _GuestSurvey:
    """What the nodes answered: their guests by the node's name, and why the others did not."""

    guests: dict[str, tuple[Guest, ...]] = field(default_factory=dict)
    errors: dict[str, MCluError] = field(default_factory=dict)

    def faults(self, nodes: Sequence["Node"]) -> list[MCluError]:
        """What is wrong with some of these nodes; to be off is not wrong."""
        known = [self.errors[node.name] for node in nodes if node.name in self.errors]
        return [error for error in known if not isinstance(error, NodeOff)]

    def unknown(self, nodes: Sequence["Node"]) -> str:
        """Which of these nodes did not answer, and why, in brackets; empty if all did."""
        off = [node.name for node in nodes if isinstance(self.errors.get(node.name), NodeOff)]
        told = [f"{', '.join(off)} {'is' if len(off) == 1 else 'are'} off"] if off else []
        told += [f"{error.place} did not answer: {error.fact}" for error in self.faults(nodes)]
        return f" ({', '.join(told)})" if told else ""


def find_guests(
    cloud: "Cloud",
    patterns: Sequence[str],
    *,
    active: bool | None = None,
    faults: list[MCluError] | None = None,
) -> list[tuple["Node", Guest]]:
    """The guests that names and wildcards mean, with their nodes, each once, in configuration order, then by name.

    All nodes that may have one are asked at once. With `active`, wildcards mean only guests that run (or do not);
    a name means its guest in any state, so that the caller can say what is wrong with it.
    Raises NotFound, Ambiguous for a name that is on several nodes, and the fault of a node that was named. Where a
    wildcard may mean guests of a node that did not answer, its fault is put into `faults`, or raised without it.
    """
    parsed = [_parse(text) for text in patterns]
    reach = {pattern: cloud.match([pattern.host]) if pattern.host else list(cloud.nodes) for pattern in parsed}
    survey = _query_all(cloud, [node for nodes in reach.values() for node in nodes])
    chosen: set[tuple[str, str]] = set()
    for pattern, nodes in reach.items():
        found = _find(pattern, nodes, survey, active)
        chosen.update((guest.node, guest.uuid) for guest in found)
        _note_faults(survey.faults(nodes) if pattern.is_wildcard else [], faults)
    return [
        (node, guest)
        for node in cloud.nodes
        for guest in survey.guests.get(node.name, ())
        if (guest.node, guest.uuid) in chosen
    ]


def find_guest(cloud: "Cloud", name: str) -> tuple["Node", Guest]:
    """The one guest that a name means; Ambiguous if it is a wildcard that means several."""
    found = find_guests(cloud, [name])
    if len(found) > 1:
        names = [shlex.quote(f"{guest.node}:{guest.name}") for _, guest in found]
        raise Ambiguous(f"{name!r} means {_listed(names)}", remedy="say one")
    return found[0]


def _parse(text: str) -> GuestPattern:
    try:
        return parse_guest(text)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _query_all(cloud: "Cloud", nodes: Sequence["Node"]) -> _GuestSurvey:
    survey = _GuestSurvey()
    for outcome in cloud.fetch_guests(list(dict.fromkeys(nodes))):
        if outcome.error is not None:
            survey.errors[outcome.item.name] = outcome.error
            if isinstance(outcome.error, UnknownUntilUp):
                survey.guests[outcome.item.name] = outcome.error.guests
        else:
            survey.guests[outcome.item.name] = outcome.unwrap()
    return survey


def _find(pattern: GuestPattern, nodes: Sequence["Node"], survey: _GuestSurvey, active: bool | None) -> list[Guest]:
    there = [guest for node in nodes for guest in survey.guests.get(node.name, ())]
    found = [guest for guest in there if pattern.means(guest)]
    # A name may look like a wildcard: the guest that is really called so is meant.
    exact = [guest for guest in found if guest.name == pattern.guest]
    if pattern.is_wildcard and not exact:
        found = [guest for guest in found if active is None or guest.is_active == active]
    else:
        found = exact
    if not found and (fault := _unanswered(pattern, nodes, survey)) is not None:
        raise fault
    if not found:
        raise _not_found(pattern, nodes, survey, there, active)
    if len(found) > 1 and not pattern.is_wildcard:
        on = _listed([guest.node for guest in found])
        raise Ambiguous(f"{pattern.guest} is on {on}", remedy=f"say {shlex.quote(f'{found[0].node}:{found[0].name}')}")
    return found


def _unanswered(pattern: GuestPattern, nodes: Sequence["Node"], survey: _GuestSurvey) -> MCluError | None:
    """Why it cannot be told whether there is a guest, where that is all there is to say."""
    errors = [survey.errors[node.name] for node in nodes if node.name in survey.errors]
    for error in errors:
        if isinstance(error, UnknownUntilUp):
            what = f"what matches '{pattern}'" if pattern.is_wildcard else f"whether it has a guest {pattern.guest!r}"
            return error.with_context(fact=f"{what} is not known before it is up")
    is_one = pattern.host and not has_wildcard(pattern.host)
    return errors[0] if is_one and errors else None


def _not_found(
    pattern: GuestPattern, nodes: Sequence["Node"], survey: _GuestSurvey, there: Sequence[Guest], active: bool | None
) -> NotFound:
    unknown = survey.unknown(nodes)
    if pattern.is_wildcard:
        which = {None: "", True: "running ", False: "stopped "}[active]
        return NotFound(f"no {which}guest matches '{pattern}'{unknown}")
    remedy = did_you_mean(pattern.guest, [guest.name for guest in there])
    return NotFound(f"no such guest {pattern.guest!r}{unknown}", place=pattern.host, remedy=remedy)


def _note_faults(found: list[MCluError], faults: list[MCluError] | None) -> None:
    if found and faults is None:
        raise found[0]
    if faults is not None:
        faults += [error for error in found if error not in faults]


def _listed(names: list[str]) -> str:
    shown = names[:6] + ([f"{len(names) - 6} more"] if len(names) > 6 else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
