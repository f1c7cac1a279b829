"""Groups of nodes that the user's SSH configuration does not distinguish, by its Host blocks (ssh_config(5)).

One `ssh -G` serves a whole group: sixty nodes cost one process instead of sixty.
"""

import fnmatch
import glob
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from mclu_shell.files.reader import read_regular_file
from mclu_shell.user_paths import expand_ssh_home, find_ssh_home

_SYSTEM = Path("/etc/ssh/ssh_config")
# Settings that can differ by more than the Host lines: with one of them, each node needs its own `ssh -G`.
_UNKNOWN = "(unknown)"
_DISTINGUISHING = ("match", "canonicalizehostname", "canonicaldomains", _UNKNOWN)
_MOST_DEPTH = 16


class HostBlocks(NamedTuple):
    """The patterns of all Host lines that ssh reads; `simple` if no other setting depends on the name."""

    patterns: tuple[tuple[str, ...], ...]
    simple: bool
    # The values of HostName.
    host_names: frozenset[str] = frozenset()
    # True if a HostKeyAlgorithms line may set the order.
    orders_host_keys: bool = False
    # The names without wildcards in Host and `Match host` lines, in the order of the files.
    names: tuple[str, ...] = ()

    def group_of(self, name: str) -> tuple[bool, ...] | str:
        """Return a key that is equal for names with the same blocks; the name itself if `simple` is false."""
        # A result whose HostName is the name itself looks like one without HostName.
        if not self.simple or name.lower() in self.host_names:
            return name
        return tuple(_applies(patterns, name) for patterns in self.patterns)


def read_host_blocks() -> HostBlocks:
    """Read the Host lines of the user's and the system's configuration."""
    patterns: list[tuple[str, ...]] = []
    names: list[str] = []
    host_names: set[str] = set()
    # ssh may be built with another directory, whose blocks are unknown here.
    simple, orders_host_keys = _SYSTEM.is_file(), False
    for words in _settings():
        key = words[0].lower()
        names += _plain_names(key, words[1:])
        orders_host_keys |= key in ("hostkeyalgorithms", _UNKNOWN)
        if key == "host":
            patterns.append(tuple(words[1:]))
        elif key in _DISTINGUISHING or (key != "controlpath" and any("%" in word for word in words)):
            simple = False
        elif key == "hostname":
            host_names.update(word.lower() for word in words[1:])
    unique_names = tuple(dict.fromkeys(names))
    return HostBlocks(tuple(dict.fromkeys(patterns)), simple, frozenset(host_names), orders_host_keys, unique_names)


def _plain_names(key: str, values: Sequence[str]) -> Iterator[str]:
    """Yield the names without wildcards and negation in the values of a Host or Match line."""
    if key == "match":
        lists = [names for kind, names in pairwise(values) if kind.lower() in ("host", "originalhost")]
        values = ",".join(lists).split(",")
    elif key != "host":
        return
    yield from (name for name in values if name and not any(char in name for char in "*?!"))


def _settings() -> Iterator[list[str]]:
    own = find_ssh_home() / ".ssh"
    yield from _lines(own / "config", own, 0)
    yield from _lines(_SYSTEM, _SYSTEM.parent, 0)


def _lines(file: Path, base: Path, depth: int) -> Iterator[list[str]]:
    """Yield the settings of a file and of the files that it includes, even those in blocks that do not apply."""
    try:
        text = read_regular_file(file).decode(errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        words = _words(line)
        if words and words[0].lower() == "include" and depth < _MOST_DEPTH:
            if any("$" in name or "%" in name for name in words[1:]):
                # Newer versions of ssh expand variables and tokens here.
                yield [_UNKNOWN]
            for name in words[1:]:
                for included in sorted(glob.glob(str(base / expand_ssh_home(name)))):  # noqa: PTH207
                    yield from _lines(Path(included), base, depth + 1)
        elif words:
            yield words


def _words(line: str) -> list[str]:
    """Split a line, `Key value…` or `Key=value`, without its comment and quotes."""
    key, equals, rest = line.strip().partition("=")
    text = f"{key} {rest}" if equals and " " not in key.strip() else line
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        # A quote is not closed, which ssh reports itself.
        return [_UNKNOWN]


def _applies(patterns: tuple[str, ...], name: str) -> bool:
    plain = [pattern for pattern in patterns if not pattern.startswith("!")]
    if any(_matches(name, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(_matches(name, pattern) for pattern in plain)


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))
