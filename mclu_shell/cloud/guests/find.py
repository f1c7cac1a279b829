"""Which guests are meant: names and wildcards, with or without their node, looked for on all nodes at once."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.state.guest import Guest
from mclu_shell.cloud.state.unknown import NotKnown
from mclu_shell.errors import Ambiguous, MCluError, NodeOff, NotFound, UsageError, near, typed

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud
    from mclu_shell.cloud.nodes.node import Node

# A guest's name becomes part of file names on its node, which end here.
_LONGEST_BYTES = 255
_NEW_NAME = re.compile(r"[A-Za-z0-9._-]{1,63}")
_NOT_IN_NAME = ".qcow2"


class GuestPattern(NamedTuple):
    """`[HOST:]GUEST` as a user names it; either part may have wildcards, and an empty host means all nodes."""

    host: str
    guest: str

    def __str__(self) -> str:
        return f"{self.host}:{self.guest}" if self.host else self.guest

    @property
    def is_wildcard(self) -> bool:
        """Whether several guests may be meant: also one name on several nodes."""
        return has_wildcard(self.host) or has_wildcard(self.guest)

    def means(self, guest: Guest) -> bool:
        """Whether it means a guest of the nodes that its host part means."""
        return guest.name == self.guest or fnmatchcase(guest.name, self.guest)


def has_wildcard(text: str) -> bool:
    """Whether a part of a name is a pattern."""
    return any(char in text for char in "*?[")


def parse_guest(text: str) -> GuestPattern:
    """The parts of `[HOST:]GUEST`; ValueError for what libvirt takes as no guest's name.

    A guest's own name may hold a colon; it is then found only with its node in front.
    """
    host, colon, guest = text.partition(":")
    if not colon:
        host, guest = "", text
    # libvirt refuses newlines and slashes; other control characters would spoil the user's terminal.
    bad = "/" in guest or any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or _is_half(char) for char in guest)
    if not guest.strip() or bad or (colon and not host) or len(guest.encode(errors="replace")) > _LONGEST_BYTES:
        raise ValueError(f"bad guest name {text!r}")
    return GuestPattern(host, guest)


def check_new_name(name: str) -> str:
    """A name that a new guest can have: it becomes a host name and a file name; ValueError says what is wrong."""
    rule = ""
    if not _NEW_NAME.fullmatch(name):
        rule = "letters, digits, '.', '_' and '-', at most 63"
    elif not name[0].isalnum():
        rule = "it must begin with a letter or a digit"
    # Files beside a guest's disk are named after it; another guest's must never look like one of them.
    elif _NOT_IN_NAME in name:
        rule = f"it must not contain {_NOT_IN_NAME!r}"
    if rule:
        raise ValueError(f"bad name for a guest {name!r}: {rule}")
    return name


def to_type(verb: str, node: str, guest: str) -> str:
    """A command about a guest, as messages show it: it can be typed or pasted, whatever the guest is called."""
    return typed(*verb.split(), f"{node}:{guest}")


def _is_half(char: str) -> bool:
    # Python's stand-in for a byte that is not UTF-8.
    return 0xD800 <= ord(char) < 0xE000


@dataclass(slots=True)
class _Survey:
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
    survey = _ask(cloud, [node for nodes in reach.values() for node in nodes])
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


def _ask(cloud: "Cloud", nodes: Sequence["Node"]) -> _Survey:
    survey = _Survey()
    for outcome in cloud.fetch_guests(list(dict.fromkeys(nodes))):
        if outcome.error is not None:
            survey.errors[outcome.item.name] = outcome.error
            if isinstance(outcome.error, NotKnown):
                survey.guests[outcome.item.name] = outcome.error.guests
        else:
            survey.guests[outcome.item.name] = outcome.unwrap()
    return survey


def _find(pattern: GuestPattern, nodes: Sequence["Node"], survey: _Survey, active: bool | None) -> list[Guest]:
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


def _unanswered(pattern: GuestPattern, nodes: Sequence["Node"], survey: _Survey) -> MCluError | None:
    """Why it cannot be told whether there is a guest, where that is all there is to say."""
    errors = [survey.errors[node.name] for node in nodes if node.name in survey.errors]
    for error in errors:
        if isinstance(error, NotKnown):
            what = f"what matches '{pattern}'" if pattern.is_wildcard else f"whether it has a guest {pattern.guest!r}"
            return error.retold(fact=f"{what} is not known before it is up")
    is_one = pattern.host and not has_wildcard(pattern.host)
    return errors[0] if is_one and errors else None


def _not_found(
    pattern: GuestPattern, nodes: Sequence["Node"], survey: _Survey, there: Sequence[Guest], active: bool | None
) -> NotFound:
    unknown = survey.unknown(nodes)
    if pattern.is_wildcard:
        which = {None: "", True: "running ", False: "stopped "}[active]
        return NotFound(f"no {which}guest matches '{pattern}'{unknown}")
    remedy = near(pattern.guest, [guest.name for guest in there])
    return NotFound(f"no such guest {pattern.guest!r}{unknown}", place=pattern.host, remedy=remedy)


def _note_faults(found: list[MCluError], faults: list[MCluError] | None) -> None:
    if found and faults is None:
        raise found[0]
    if faults is not None:
        faults += [error for error in found if error not in faults]


def _listed(names: list[str]) -> str:
    shown = names[:6] + ([f"{len(names) - 6} more"] if len(names) > 6 else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
