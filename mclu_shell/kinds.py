"""The kinds of names and values that arguments take: how each is read, and what may be completed there."""

import argparse
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mclu_shell.units import format_duration, parse_duration

if TYPE_CHECKING:
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


def duration_kind(*usual_s: float) -> Kind:
    """A time; the usual ones are offered."""
    return Kind(parse_duration, lambda _snapshot: [Candidate(f"{s:g}", format_duration(s)) for s in usual_s])
