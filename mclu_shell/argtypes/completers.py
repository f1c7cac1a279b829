"""What could stand where a name is typed: nodes and guests of the snapshot, and files of this machine.

No node is asked and no template run; only directories of this machine are read, for the names of files.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mclu_shell.units import format_age, format_size, parse_size

if TYPE_CHECKING:
    from mclu_shell.cloud.state.guest import Guest
    from mclu_shell.cloud.state.snapshot import NodeView, Snapshot

T = TypeVar("T")

# More than these nobody reads, and drawing them takes time.
_MOST_SHOWN = 100
# No guest runs with less: a node that has not even this is full.
_LEAST_MEMORY = "16M"


class Candidate(NamedTuple):
    """Something that could stand here, and a few words about it."""

    text: str
    about: str = ""
    # What a menu shows instead of the text.
    shown: str = ""
    # Whether the word can end with it: a directory goes on, and so does `HOST:`.
    is_whole: bool = True


class Spot(NamedTuple):
    """Where something is to be completed: what is known, the word so far, and what the line has besides.

    `given` are the values that the same argument has already; `options` those of the line's options, by their `dest`.
    """

    snapshot: "Snapshot"
    word: str = ""
    given: tuple[str, ...] = ()
    options: Mapping[str, str] = MappingProxyType({})
    any_case: bool = False
    # What names of the prompt stand for.
    aliases: Mapping[str, str] = MappingProxyType({})

    def fits(self, text: str) -> bool:
        """Whether a text begins with the word, and would be new on the line."""
        return bool(self.fitting((text,)))

    def fitting(self, texts: Iterable[str]) -> list[str]:
        """Those of many texts that fit."""
        if self.any_case:
            word = self.word.casefold()
            found = [text for text in texts if text.casefold().startswith(word)]
        else:
            word = self.word
            found = [text for text in texts if text.startswith(word)] if word else list(texts)
        return [text for text in found if text not in self.given] if self.given else found


# How a kind finds its candidates; what it has beside those that fit is left out by `completion`.
Finder = Callable[[Spot], Iterable[Candidate]]
_Wanted = Callable[["Guest"], bool]


def shortened(found: Sequence[T], text: Callable[[T], str]) -> Sequence[T]:
    """As many as can be shown, in their order, that begin with no more in common than all of them do."""
    if len(found) <= _MOST_SHOWN:
        return found
    # What all texts begin with is what the least and the greatest begin with.
    head = found[: _MOST_SHOWN - 2]
    return [*head, *(one for one in (min(found, key=text), max(found, key=text)) if one not in head)]


def nodes(*unfit: str) -> Finder:
    """Nodes, but for those in some phases."""

    def candidates(spot: Spot) -> Iterable[Candidate]:
        found = [node for node in spot.snapshot.nodes if node.state.phase not in unfit and spot.fits(node.name)]
        return [Candidate(node.name, _about_node(node)) for node in shortened(found, lambda node: node.name)]

    return candidates


def _about_node(node: "NodeView") -> str:
    phase, why = node.state.phase, node.state.why
    if phase == "on":
        return "on" if node.free_bytes is None else f"on, {format_size(node.free_bytes)} free"
    if phase == "not asked yet" and node.free_bytes is not None:
        # From an earlier process: nobody has asked in this one.
        return f"{format_size(node.free_bytes)} free {format_age(node.age_s)} ago"
    return f"{phase}: {why}" if why and phase != "off" else str(phase)


def nodes_with_room(spot: Spot) -> list[Candidate]:
    """`HOST:` where a guest could be booted; where none is known to be on, those of which nothing is known."""
    least = _size_or(spot.options.get("memory", ""), _LEAST_MEMORY)
    named = [node for node in spot.snapshot.nodes if spot.fits(f"{node.name}:")]
    there = [node for node in named if node.state.phase == "on" and _has_room(node, least)]
    found = there or [node for node in named if node.state.phase in ("not asked yet", "connecting")]
    return [
        Candidate(f"{node.name}:", _about_node(node), is_whole=False)
        for node in shortened(found, lambda node: node.name)
    ]


def _has_room(node: "NodeView", least: int) -> bool:
    free = node.free_bytes
    return free is None or free >= least


def _size_or(text: str, otherwise: str) -> int:
    try:
        return parse_size(text)
    except ValueError:
        return parse_size(otherwise)


def guests(wanted: _Wanted) -> Finder:
    """Guests of a sort: by name where that is enough, and in two stages, `HOST:` and then `HOST:GUEST`."""

    def candidates(spot: Spot) -> Iterable[Candidate]:
        # Of a node that is off, nothing can be had now.
        there = [node for node in spot.snapshot.nodes if node.state.phase != "off"]
        if ":" in spot.word:
            return _guests_of_a_node(spot, there, wanted)
        return [*_guests_by_name(spot, there, wanted), *_nodes_with_guests(spot, there, wanted)]

    return candidates


def _guests_by_name(spot: Spot, there: Sequence["NodeView"], wanted: _Wanted) -> list[Candidate]:
    """Guests whose name alone says which is meant."""
    count = Counter(spot.fitting(chain.from_iterable(_names_of(node, any_guest).alone for node in there)))
    fitting = spot.fitting(chain.from_iterable(_names_of(node, wanted).alone for node in there))
    found = shortened(sorted(name for name in fitting if count[name] == 1), str)
    shown = set(found)
    nodes = [node for node in there if not shown.isdisjoint(_names_of(node, wanted).alone)]
    guests = {guest.name: guest for node in nodes for guest in node.guests if guest.name in shown and wanted(guest)}
    return [Candidate(name, _about_guest(guests[name])) for name in found]


def any_guest(_guest: "Guest") -> bool:
    """A guest of any sort."""
    return True


class _Names(NamedTuple):
    """Of a node's guests: how many are of a sort, and the names of those that can do without the node's."""

    guests: tuple["Guest", ...] = ()
    number: int = 0
    alone: tuple[str, ...] = ()


# To look at 10,000 guests one by one at each Tab would take as long as all the rest.
_names: dict[tuple[str, _Wanted], _Names] = {}


def _names_of(node: "NodeView", wanted: _Wanted) -> _Names:
    known = _names.get((node.name, wanted), _Names())
    if known.guests is not node.guests:
        names = [guest.name for guest in node.guests if wanted(guest)]
        # Of any sort they are wanted, too, and looking at a name takes longer than looking it up.
        stands_alone = _stands_alone if wanted is any_guest else set(_names_of(node, any_guest).alone).__contains__
        known = _Names(node.guests, len(names), tuple(filter(stands_alone, names)))
        _names[node.name, wanted] = known
    return known


def _stands_alone(name: str) -> bool:
    # A colon would be read as the end of a node's name, and a dash in front as an option's.
    return ":" not in name and name[:1] != "-" and name.isprintable()


def _guests_of_a_node(spot: Spot, there: Sequence["NodeView"], wanted: _Wanted) -> list[Candidate]:
    host = spot.word.partition(":")[0].casefold()
    own = [guest for node in there if node.name.casefold() == host for guest in node.guests if wanted(guest)]
    texts = {text: guest for guest in own if spot.fits(text := f"{guest.node}:{guest.name}") and text.isprintable()}
    return [Candidate(text, _about_guest(texts[text])) for text in shortened(list(texts), str)]


def _nodes_with_guests(spot: Spot, there: Sequence["NodeView"], wanted: _Wanted) -> Iterator[Candidate]:
    """`HOST:` of those that have such guests, if there is a choice."""
    for node in there if len(spot.snapshot.nodes) > 1 else ():
        if spot.fits(f"{node.name}:") and (count := _names_of(node, wanted).number):
            about = f"{node.state.phase}, {count} {'guest' if count == 1 else 'guests'}"
            yield Candidate(f"{node.name}:", about, is_whole=False)


def _about_guest(guest: "Guest") -> str:
    return f"{guest.state} on {guest.node}, {format_size(guest.memory_bytes)}"


def files(spot: Spot, suffix: str = "") -> Iterator[Candidate]:
    """Directories, and files that end in the suffix; hidden ones only where their dot is typed."""
    begun = spot.word.rpartition("/")[2]
    path = spot.word.removesuffix(begun)
    if spot.word == "~":
        yield Candidate("~/", "home directory", is_whole=False)
    for name in _listed(os.path.expanduser(path) or "."):  # noqa: PTH111
        is_hidden = name.startswith(".") and not begun.startswith(".")
        # A name that is no text cannot be typed.
        if is_hidden or not spot.fits(path + name) or not name.isprintable():
            continue
        if os.path.isdir(os.path.expanduser(path + name)):  # noqa: PTH111, PTH112
            yield Candidate(f"{path}{name}/", shown=f"{name}/", is_whole=False)
        elif name.endswith(suffix):
            yield Candidate(f"{path}{name}", shown=name)


def _listed(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208
    except (OSError, ValueError):
        # Not there, not ours to read, or no path at all.
        return []


def template_files(spot: Spot) -> list[Candidate]:
    """Templates, by name or by file; directories where a path is begun, or could be."""
    from mclu_shell.cloud.templates.template import SUFFIX

    named = [candidate for candidate in templates(spot) if spot.fits(candidate.text)]
    paths = list(files(spot, SUFFIX))
    found = [*named, *(path for path in paths if path.is_whole)]
    return [*named, *paths] if "/" in spot.word or spot.word[:1] in (".", "~") or not found else found


def templates(_spot: Spot) -> list[Candidate]:
    """The names of the templates in the directories of $MCLU_PATH."""
    from mclu_shell.cloud.templates.template import find_templates, template_name

    return [Candidate(template_name(path)) for path in find_templates()]


def aliases(spot: Spot) -> list[Candidate]:
    """The prompt's aliases, with what each stands for."""
    # A line break would draw a second line in the menu.
    return [Candidate(name, " ".join(text.split())) for name, text in sorted(spot.aliases.items())]


@cache
def _timezones() -> tuple[Candidate, ...]:
    # To find them takes opening 600 files, so it is done once.
    from zoneinfo import available_timezones

    # `localtime` is a file there, but no zone.
    return tuple(Candidate(name) for name in sorted(available_timezones()) if name[0].isupper())


def timezones(_spot: Spot) -> tuple[Candidate, ...]:
    """The time zones that this machine knows."""
    return _timezones()
