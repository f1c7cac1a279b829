"""Completers of arguments: nodes and guests of the snapshot, and files of this machine.

They query no node and run no template. Directories of this machine are read for file names.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mclu_shell.units import format_age, format_size, parse_size
from mclu_shell.user_paths import expand_home

if TYPE_CHECKING:
    from mclu_shell.cloud.state.guest import Guest
    from mclu_shell.cloud.state.snapshot import NodeView, Snapshot

T = TypeVar("T")

# A longer menu is unreadable, and slow to draw.
_MOST_SHOWN = 100
# A node with less free memory cannot run any guest.
_LEAST_MEMORY = "16M"


class Candidate(NamedTuple):
    """A completion candidate, with a short description."""

    text: str
    description: str = ""
    # Shown in a menu instead of the text.
    display: str = ""
    # False if more must follow, as after a directory or `HOST:`.
    is_complete: bool = True


class CompletionContext(NamedTuple):
    """The word to complete, the snapshot, and the other words of the line.

    `previous` has the earlier values of the same argument, `options` the last value of each argument by its `dest`.
    """

    snapshot: "Snapshot"
    word: str = ""
    previous: tuple[str, ...] = ()
    options: Mapping[str, str] = MappingProxyType({})
    any_case: bool = False
    # Texts of the prompt's aliases, by name.
    aliases: Mapping[str, str] = MappingProxyType({})

    def fits(self, text: str) -> bool:
        """Return whether a text begins with the word and is not among the previous values."""
        return bool(self.matching((text,)))

    def matching(self, texts: Iterable[str]) -> list[str]:
        """Return the texts that fit."""
        if self.any_case:
            word = self.word.casefold()
            matches = [text for text in texts if text.casefold().startswith(word)]
        else:
            word = self.word
            matches = [text for text in texts if text.startswith(word)] if word else list(texts)
        return [text for text in matches if text not in self.previous] if self.previous else matches


# Candidates that do not fit the word are removed in `completion`.
Completer = Callable[[CompletionContext], Iterable[Candidate]]
_GuestFilter = Callable[["Guest"], bool]


def truncate(candidates: Sequence[T], text: Callable[[T], str]) -> Sequence[T]:
    """Truncate to the longest menu, without changing order and common prefix of the candidates."""
    if len(candidates) <= _MOST_SHOWN:
        return candidates
    # The common prefix of all is that of the least and the greatest.
    head = candidates[: _MOST_SHOWN - 2]
    extremes = min(candidates, key=text), max(candidates, key=text)
    return [*head, *(candidate for candidate in extremes if candidate not in head)]


def nodes(*excluded_phases: str) -> Completer:
    """Return a completer of nodes, except those in some phases."""

    def complete(context: CompletionContext) -> Iterable[Candidate]:
        views = [node for node in context.snapshot.nodes if node.state.phase not in excluded_phases]
        matches = [node for node in views if context.fits(node.name)]
        return [Candidate(node.name, _describe_node(node)) for node in truncate(matches, lambda node: node.name)]

    return complete


def ssh_hosts(context: CompletionContext) -> list[Candidate]:
    """Complete the hosts of the SSH configuration and of known_hosts, also after `USER@`."""
    from mclu_shell.cloud.discovery.candidates import host_names

    user = "".join(context.word.rpartition("@")[:2])
    return [Candidate(f"{user}{name}", source) for name, source in host_names().items()]


def _describe_node(node: "NodeView") -> str:
    phase, why = node.state.phase, node.state.why
    if phase == "on":
        return "on" if node.free_bytes is None else f"on, {format_size(node.free_bytes)} free"
    if phase == "not queried yet" and node.free_bytes is not None:
        # Cached by an earlier process.
        return f"{format_size(node.free_bytes)} free {format_age(node.age_s)} ago"
    return f"{phase}: {why}" if why and phase != "off" else str(phase)


def nodes_with_room(context: CompletionContext) -> list[Candidate]:
    """Complete `HOST:` of nodes that are on and have the memory; if none is, of nodes in an unknown state."""
    least = _size_or(context.options.get("memory", ""), _LEAST_MEMORY)
    matches = [node for node in context.snapshot.nodes if context.fits(f"{node.name}:")]
    on = [node for node in matches if node.state.phase == "on" and _has_room(node, least)]
    hosts = on or [node for node in matches if node.state.phase in ("not queried yet", "connecting")]
    return [
        Candidate(f"{node.name}:", _describe_node(node), is_complete=False)
        for node in truncate(hosts, lambda node: node.name)
    ]


def _has_room(node: "NodeView", least: int) -> bool:
    free = node.free_bytes
    return free is None or free >= least


def _size_or(text: str, default: str) -> int:
    try:
        return parse_size(text)
    except ValueError:
        return parse_size(default)


def guests(is_offered: _GuestFilter) -> Completer:
    """Return a completer of guests: unique names, and in two steps `HOST:` and `HOST:GUEST`."""

    def complete(context: CompletionContext) -> Iterable[Candidate]:
        # The guests of a node that is off cannot be used now.
        views = [node for node in context.snapshot.nodes if node.state.phase != "off"]
        if ":" in context.word:
            return _guests_of_host(context, views, is_offered)
        return [*_guests_by_name(context, views, is_offered), *_hosts_with_guests(context, views, is_offered)]

    return complete


def _guests_by_name(
    context: CompletionContext, views: Sequence["NodeView"], is_offered: _GuestFilter
) -> list[Candidate]:
    """Return the guests whose names are on one node only."""
    count = Counter(context.matching(chain.from_iterable(_names_of(node, any_guest).bare for node in views)))
    matches = context.matching(chain.from_iterable(_names_of(node, is_offered).bare for node in views))
    names = truncate(sorted(name for name in matches if count[name] == 1), str)
    shown = set(names)
    nodes = [node for node in views if not shown.isdisjoint(_names_of(node, is_offered).bare)]
    guests = {guest.name: guest for node in nodes for guest in node.guests if guest.name in shown and is_offered(guest)}
    return [Candidate(name, _describe_guest(guests[name])) for name in names]


def any_guest(_guest: "Guest") -> bool:
    """Accept every guest."""
    return True


def startable_guest(guest: "Guest") -> bool:
    """Accept guests that `start` starts, resumes or wakes."""
    return not guest.is_active or guest.state in ("paused", "pmsuspended")


class _Names(NamedTuple):
    """The guests of a node that pass a filter: their number, and the names that need no `HOST:`."""

    guests: tuple["Guest", ...] = ()
    number: int = 0
    bare: tuple[str, ...] = ()


# Cached by node and filter: reading 10,000 guests at each Tab would double its time.
_names: dict[tuple[str, _GuestFilter], _Names] = {}


def _names_of(node: "NodeView", is_offered: _GuestFilter) -> _Names:
    cached = _names.get((node.name, is_offered), _Names())
    if cached.guests is not node.guests:
        names = [guest.name for guest in node.guests if is_offered(guest)]
        # Looking a name up among those of all guests is faster than checking it again.
        is_bare = _is_bare if is_offered is any_guest else set(_names_of(node, any_guest).bare).__contains__
        cached = _Names(node.guests, len(names), tuple(filter(is_bare, names)))
        _names[node.name, is_offered] = cached
    return cached


def _is_bare(name: str) -> bool:
    # A colon would end the name of a node, and a leading dash begin an option.
    return ":" not in name and name[:1] != "-" and name.isprintable()


def _guests_of_host(
    context: CompletionContext, views: Sequence["NodeView"], is_offered: _GuestFilter
) -> list[Candidate]:
    host = context.word.partition(":")[0].casefold()
    own = [guest for node in views if node.name.casefold() == host for guest in node.guests if is_offered(guest)]
    texts = {text: guest for guest in own if context.fits(text := f"{guest.node}:{guest.name}") and text.isprintable()}
    return [Candidate(text, _describe_guest(texts[text])) for text in truncate(list(texts), str)]


def _hosts_with_guests(
    context: CompletionContext, views: Sequence["NodeView"], is_offered: _GuestFilter
) -> Iterator[Candidate]:
    """Yield `HOST:` of the nodes that have such guests, unless the cloud has only one node."""
    for node in views if len(context.snapshot.nodes) > 1 else ():
        if context.fits(f"{node.name}:") and (count := _names_of(node, is_offered).number):
            description = f"{node.state.phase}, {count} {'guest' if count == 1 else 'guests'}"
            yield Candidate(f"{node.name}:", description, is_complete=False)


def _describe_guest(guest: "Guest") -> str:
    return f"{guest.condition} on {guest.node}, {format_size(guest.memory_bytes)}"


def files(context: CompletionContext, suffix: str = "") -> Iterator[Candidate]:
    """Complete directories, and files that end in the suffix; hidden ones only after a typed dot."""
    prefix = context.word.rpartition("/")[2]
    path = context.word.removesuffix(prefix)
    if context.word == "~":
        yield Candidate("~/", "home directory", is_complete=False)
    for name in _listed(expand_home(path) or "."):
        is_hidden = name.startswith(".") and not prefix.startswith(".")
        # An undecodable name cannot be typed.
        if is_hidden or not context.fits(path + name) or not name.isprintable():
            continue
        if os.path.isdir(expand_home(path + name)):  # noqa: PTH112
            yield Candidate(f"{path}{name}/", display=f"{name}/", is_complete=False)
        elif name.endswith(suffix):
            yield Candidate(f"{path}{name}", display=name)


def _listed(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208
    except (OSError, ValueError):
        # Missing, unreadable, or not a valid path.
        return []


def template_files(context: CompletionContext) -> list[Candidate]:
    """Complete templates by name or file; directories if the word begins a path, or nothing else matches."""
    from mclu_shell.cloud.templates.template import SUFFIX

    names = [candidate for candidate in templates(context) if context.fits(candidate.text)]
    paths = list(files(context, SUFFIX))
    matches = [*names, *(path for path in paths if path.is_complete)]
    return [*names, *paths] if "/" in context.word or context.word[:1] in (".", "~") or not matches else matches


def templates(_spot: CompletionContext) -> list[Candidate]:
    """Complete the names of the templates in the directories of $MCLU_PATH."""
    from mclu_shell.cloud.templates.template import find_templates, template_name

    return [Candidate(template_name(path)) for path in find_templates()]


def aliases(context: CompletionContext) -> list[Candidate]:
    """Complete the prompt's aliases, with their texts as descriptions."""
    # A line break would break the menu.
    return [Candidate(name, " ".join(text.split())) for name, text in sorted(context.aliases.items())]


@cache
def _timezones() -> tuple[Candidate, ...]:
    # Finding them opens 600 files.
    from zoneinfo import available_timezones

    # The directory also has `localtime`, which is no zone.
    return tuple(Candidate(name) for name in sorted(available_timezones()) if name[0].isupper())


def timezones(_spot: CompletionContext) -> tuple[Candidate, ...]:
    """Complete the time zones of this machine's database."""
    return _timezones()
