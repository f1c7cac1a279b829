"""Lookup of guests by names and wildcards, with or without a node, on all nodes in parallel."""

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
    """Replies of the nodes: guests or errors by node name."""

    guests: dict[str, tuple[Guest, ...]] = field(default_factory=dict)
    errors: dict[str, MCluError] = field(default_factory=dict)

    def faults(self, nodes: Sequence["Node"]) -> list[MCluError]:
        """Return the errors of these nodes, except that a node is off."""
        errors = [self.errors[node.name] for node in nodes if node.name in self.errors]
        return [error for error in errors if not isinstance(error, NodeOff)]

    def missing(self, nodes: Sequence["Node"]) -> str:
        """Describe in parentheses the nodes that did not reply, with the reasons; empty if all replied."""
        off = [node.name for node in nodes if isinstance(self.errors.get(node.name), NodeOff)]
        reasons = [f"{', '.join(off)} {'is' if len(off) == 1 else 'are'} off"] if off else []
        reasons += [f"{error.place} did not answer: {error.fact}" for error in self.faults(nodes)]
        return f" ({', '.join(reasons)})" if reasons else ""


def find_guests(
    cloud: "Cloud",
    patterns: Sequence[str],
    *,
    active: bool | None = None,
    faults: list[MCluError] | None = None,
    unanswered: dict[str, MCluError] | None = None,
) -> list[tuple["Node", Guest]]:
    """Find the guests that match, with their nodes, each once, in configuration order and then by name.

    Query all possible nodes in parallel. `active` restricts wildcards to guests that run (or do not run). A name
    matches its guest in any state, so that the caller can report the wrong state.
    Raise NotFound, Ambiguous for a name on several nodes, or the error of a named node. If a wildcard may match
    guests of a node that did not reply, append that node's error to `faults`, or raise it without `faults`.
    `unanswered` gets the errors of all nodes that did not reply, also of those that are off.
    """
    parsed = [_parse(text) for text in patterns]
    reach = {pattern: cloud.match([pattern.host]) if pattern.host else list(cloud.nodes) for pattern in parsed}
    survey = _query_all(cloud, [node for nodes in reach.values() for node in nodes])
    if unanswered is not None:
        unanswered |= survey.errors
    chosen: set[tuple[str, str]] = set()
    for pattern, nodes in reach.items():
        matches = _match(pattern, nodes, survey, active)
        chosen.update((guest.node, guest.uuid) for guest in matches)
        _report_faults(survey.faults(nodes) if pattern.is_wildcard else [], faults)
    return [
        (node, guest)
        for node in cloud.nodes
        for guest in survey.guests.get(node.name, ())
        if (guest.node, guest.uuid) in chosen
    ]


def find_guest(cloud: "Cloud", name: str) -> tuple["Node", Guest]:
    """Find the one guest of a name; raise Ambiguous if a wildcard matches several."""
    matches = find_guests(cloud, [name])
    if len(matches) > 1:
        names = [shlex.quote(f"{guest.node}:{guest.name}") for _, guest in matches]
        raise Ambiguous(f"{name!r} matches {_join(names)}", remedy="name one of them")
    return matches[0]


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


def _match(pattern: GuestPattern, nodes: Sequence["Node"], survey: _GuestSurvey, active: bool | None) -> list[Guest]:
    guests = [guest for node in nodes for guest in survey.guests.get(node.name, ())]
    matches = [guest for guest in guests if pattern.matches(guest)]
    # A guest's name may look like a wildcard: an exact match takes precedence.
    exact = [guest for guest in matches if guest.name == pattern.guest]
    if pattern.is_wildcard and not exact:
        matches = [guest for guest in matches if active is None or guest.is_active == active]
    else:
        matches = exact
    if not matches and (fault := _unknown(pattern, nodes, survey)) is not None:
        raise fault
    if not matches:
        raise _not_found(pattern, nodes, survey, guests, active)
    if len(matches) > 1 and not pattern.is_wildcard:
        first = shlex.quote(f"{matches[0].node}:{matches[0].name}")
        fact = f"{pattern.guest} is on {_join([guest.node for guest in matches])}"
        raise Ambiguous(fact, remedy=f"specify the host: {first}")
    return matches


def _unknown(pattern: GuestPattern, nodes: Sequence["Node"], survey: _GuestSurvey) -> MCluError | None:
    """Return the error that leaves open if there is such a guest; None if the guest was simply not found."""
    errors = [survey.errors[node.name] for node in nodes if node.name in survey.errors]
    for error in errors:
        if isinstance(error, UnknownUntilUp):
            guest = f"guests that match '{pattern}'" if pattern.is_wildcard else f"guest {pattern.guest!r}"
            return error.with_context(fact=f"cannot check for {guest} before it is up")
    names_one_node = pattern.host and not has_wildcard(pattern.host)
    return errors[0] if names_one_node and errors else None


def _not_found(
    pattern: GuestPattern, nodes: Sequence["Node"], survey: _GuestSurvey, guests: Sequence[Guest], active: bool | None
) -> NotFound:
    missing = survey.missing(nodes)
    if pattern.is_wildcard:
        state = {None: "", True: "running ", False: "stopped "}[active]
        return NotFound(f"no {state}guest matches '{pattern}'{missing}")
    remedy = did_you_mean(pattern.guest, [guest.name for guest in guests])
    return NotFound(f"no such guest {pattern.guest!r}{missing}", place=pattern.host, remedy=remedy)


def _report_faults(errors: list[MCluError], faults: list[MCluError] | None) -> None:
    if errors and faults is None:
        raise errors[0]
    if faults is not None:
        faults += [error for error in errors if error not in faults]


def _join(names: list[str]) -> str:
    shown = names[:6] + ([f"{len(names) - 6} more"] if len(names) > 6 else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
