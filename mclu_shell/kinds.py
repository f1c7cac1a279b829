"""The kinds of names and values that arguments take: how each is read, and what may be completed there."""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mclu_shell.config import NODE_NAME
from mclu_shell.units import format_duration, format_size, parse_duration, parse_size

if TYPE_CHECKING:
    from mclu_shell.cloud.guest import Guest
    from mclu_shell.cloud.state import NodeView, Snapshot


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that could stand here, and a few words about it."""

    text: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of argument; given to argparse as `type`, so that parsing and completion cannot disagree."""

    parse: Callable[[str], Any]
    candidates: Callable[["Snapshot"], Iterable[Candidate]]

    def __call__(self, text: str) -> Any:
        """The value of a word; argparse reports the reason if it is none."""
        try:
            return self.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None


_TIMEZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+/-]*")
# libvirt takes more, but a machine that has them would be news to us.
_MOST_VCPUS = 4096
_NODE_PATTERN = re.compile(r"[A-Za-z0-9*?\[][A-Za-z0-9._*?\[\]!-]*")


def _node_pattern(text: str) -> str:
    if not _NODE_PATTERN.fullmatch(text):
        raise ValueError(f"bad node name {text!r}")
    return text


def _nodes(wanted: Callable[["NodeView"], bool]) -> Callable[["Snapshot"], Iterable[Candidate]]:
    def candidates(snapshot: "Snapshot") -> Iterable[Candidate]:
        return [Candidate(node.name, node.state.phase.value) for node in snapshot.nodes if wanted(node)]

    return candidates


NODE = Kind(_node_pattern, _nodes(lambda _node: True))
NODE_TO_WAKE = Kind(_node_pattern, _nodes(lambda node: node.state.phase != "on"))
NODE_TO_SWITCH_OFF = Kind(_node_pattern, _nodes(lambda node: node.state.phase != "off"))


def _nodes_with_colon(snapshot: "Snapshot") -> list[Candidate]:
    return [Candidate(f"{node.name}:", node.state.phase.value) for node in snapshot.nodes if node.state.phase != "off"]


def _guest_pattern(text: str) -> str:
    # Here and below: `status` takes no guest and no template, and need not import what knows them.
    from mclu_shell.cloud.guests import parse_guest

    if parse_guest(text).host:
        _node_pattern(parse_guest(text).host)
    return text


def _guests(wanted: Callable[["Guest"], bool]) -> Callable[["Snapshot"], Iterable[Candidate]]:
    def candidates(snapshot: "Snapshot") -> Iterable[Candidate]:
        # Of a node that is off, nothing can be had now.
        there = [guest for node in snapshot.nodes if node.state.phase != "off" for guest in node.guests]
        count = Counter(guest.name for guest in there)
        found = sorted((guest for guest in there if wanted(guest)), key=lambda guest: guest.name)
        # A colon in its own name would be read as the end of a node's.
        alone = [guest for guest in found if count[guest.name] == 1 and ":" not in guest.name]
        return [Candidate(guest.name, _about(guest)) for guest in alone] + [
            Candidate(f"{guest.node}:{guest.name}", _about(guest)) for guest in found
        ]

    return candidates


def _about(guest: "Guest") -> str:
    return f"{guest.state} on {guest.node}, {format_size(guest.memory_bytes)}"


# [HOST:]GUEST, both with wildcards; `cloud.guests` finds what is meant.
GUEST = Kind(_guest_pattern, _guests(lambda _guest: True))
RUNNING_GUEST = Kind(_guest_pattern, _guests(lambda guest: guest.is_active))
STOPPED_GUEST = Kind(_guest_pattern, _guests(lambda guest: not guest.is_active))


def _size(text: str) -> int:
    return parse_size(text)


def size_kind(*usual: str) -> Kind:
    """A size in bytes; the usual ones are offered."""
    return Kind(_size, lambda _snapshot: [Candidate(size) for size in usual])


def _new_guest(text: str) -> tuple[str, str]:
    """`[HOST:]NAME` of a guest that is to be made."""
    host, colon, name = text.rpartition(":")
    if colon and not NODE_NAME.fullmatch(host):
        raise ValueError(f"bad node name {host!r}")
    from mclu_shell.cloud.guests import check_new_name

    return host, check_new_name(name)


NEW_GUEST = Kind(_new_guest, _nodes_with_colon)


def _timezone(text: str) -> str:
    """A time zone's name; what a node knows of it is for the build to say."""
    if not _TIMEZONE.fullmatch(text) or ".." in text:
        raise ValueError(f"bad time zone {text!r}: such as Europe/London or UTC")
    return text


def _timezones(_snapshot: "Snapshot") -> list[Candidate]:
    from zoneinfo import available_timezones

    return [Candidate(name) for name in sorted(available_timezones())]


TIMEZONE = Kind(_timezone, _timezones)


def _templates(_snapshot: "Snapshot") -> list[Candidate]:
    from mclu_shell.cloud.template import find_templates, template_name

    return [Candidate(template_name(path)) for path in find_templates()]


TEMPLATE = Kind(str, _templates)


def word_kind(*words: str) -> Kind:
    """One of a few words, which are offered."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is not one of {', '.join(words)}")
        return text

    return Kind(parse, lambda _snapshot: [Candidate(word) for word in words])


def _vcpus(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= _MOST_VCPUS):
        raise ValueError(f"bad number of virtual CPUs {text!r}: 1 to {_MOST_VCPUS}")
    return int(text)


VCPUS = Kind(_vcpus, lambda _snapshot: [Candidate(str(count)) for count in (1, 2, 4, 8)])


def duration_kind(*usual_s: float) -> Kind:
    """A time; the usual ones are offered."""
    return Kind(parse_duration, lambda _snapshot: [Candidate(f"{s:g}", format_duration(s)) for s in usual_s])
