"""Which nodes the user's SSH configuration cannot tell apart, so that one `ssh -G` answers for all of them.

For sixty nodes that is one process instead of sixty. ssh_config(5) says what is read and when it applies.
"""

import fnmatch
import glob
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_SYSTEM = Path("/etc/ssh/ssh_config")
# Conditions that are not about the name alone, and values that hold it: then each node is asked for by itself.
_TELLS_APART = ("match", "canonicalizehostname", "canonicaldomains")
_MOST_DEPTH = 16


class HostBlocks(NamedTuple):
    """The patterns of all Host lines that ssh would read; `simple` if nothing else depends on the name."""

    patterns: tuple[tuple[str, ...], ...]
    simple: bool

    def group_of(self, name: str) -> tuple[bool, ...] | str:
        """Equal for names to which the same blocks apply; the name itself where more than blocks depends on it."""
        return tuple(_applies(patterns, name) for patterns in self.patterns) if self.simple else name


def read_host_blocks() -> HostBlocks:
    """Read the user's and the system's configuration as they are now."""
    patterns: list[tuple[str, ...]] = []
    simple = True
    for words in _settings():
        key = words[0].lower()
        if key == "host":
            patterns.append(tuple(words[1:]))
        elif key in _TELLS_APART or (key != "controlpath" and any("%" in word for word in words)):
            simple = False
    return HostBlocks(tuple(dict.fromkeys(patterns)), simple)


def _settings() -> Iterator[list[str]]:
    # OpenSSH takes the home directory from the password database, not from $HOME.
    own = Path("~" + _user()).expanduser() / ".ssh"
    yield from _lines(own / "config", own, 0)
    yield from _lines(_SYSTEM, _SYSTEM.parent, 0)


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _lines(file: Path, base: Path, depth: int) -> Iterator[list[str]]:
    """The settings of a file and of those that it includes, wherever they stand: rather too many than too few."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        words = _words(line)
        if words and words[0].lower() == "include" and depth < _MOST_DEPTH:
            for name in words[1:]:
                for included in sorted(glob.glob(str(base / os.path.expanduser(name)))):  # noqa: PTH111, PTH207
                    yield from _lines(Path(included), base, depth + 1)
        elif words:
            yield words


def _words(line: str) -> list[str]:
    """`Key value…` or `Key=value`, without comments and quotes."""
    key, equals, rest = line.strip().partition("=")
    text = f"{key} {rest}" if equals and " " not in key.strip() else line
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        # A quote that is not closed: ssh itself will complain. Until then nothing can be said of this line.
        return ["match"]


def _applies(patterns: tuple[str, ...], name: str) -> bool:
    plain = [pattern for pattern in patterns if not pattern.startswith("!")]
    if any(_matches(name, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(_matches(name, pattern) for pattern in plain)


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))
