"""OpenSSH's known_hosts files (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

import base64
import fnmatch
import hashlib
import hmac
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mclu_shell.files.reader import read_regular_file

_MOST_BYTES = 64 << 20


class KnownKey(NamedTuple):
    """One line of a known_hosts file."""

    place: str
    marker: str
    hosts: str
    kind: str
    key: str

    def names(self, name: str) -> bool:
        """Return whether the line lists a host, in its patterns or as its hashed name."""
        if self.hosts.startswith("|1|"):
            return _hashed_is(self.hosts, name)
        patterns = self.hosts.lower().split(",")
        if any(_matches(name, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
            return False
        return any(_matches(name, pattern) for pattern in patterns)


def known_keys(files: tuple[Path, ...], name: str, port: int) -> list[KnownKey]:
    """Return the lines that list a host, as `[name]:port` if the port is not 22; a missing file has none."""
    host = listed_name(name, port)
    return [line for file in files for line in _lines(file) if line.names(host)]


def listed_name(name: str, port: int) -> str:
    """Return the name of a host in known_hosts."""
    return name.lower() if port == 22 else f"[{name.lower()}]:{port}"


@lru_cache(maxsize=32)
def _read(file: Path, _mtime_and_size: tuple[int, int]) -> tuple[KnownKey, ...]:
    """Return the lines of a file; parse it once for all nodes, until it changes."""
    return parse_known_hosts(file, read_regular_file(file, _MOST_BYTES).decode(errors="replace"))


def parse_known_hosts(file: Path, text: str) -> tuple[KnownKey, ...]:
    """Return the lines of the text of a file."""
    keys = []
    # As in ssh, no other character separates lines or words.
    for number, line in enumerate(text.split("\n"), 1):
        words = [word for word in line.replace("\t", " ").split(" ") if word]
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) >= 3 and not words[0].startswith("#"):
            keys.append(KnownKey(f"{file}:{number}", marker, *words[:3]))
    return tuple(keys)


def _lines(file: Path) -> tuple[KnownKey, ...]:
    try:
        stat = file.stat()
        return _read(file, (stat.st_mtime_ns, stat.st_size))
    except OSError:
        # As ssh does, continue without the file; the host key is then unknown.
        return ()


def _matches(name: str, pattern: str) -> bool:
    # In known_hosts only * and ? are special; "[" opens no character class.
    return name == pattern or fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))


def _hashed_is(hashed: str, name: str) -> bool:
    try:
        _, _, salt, digest = hashed.split("|")
        expected = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
        return hmac.compare_digest(expected, base64.b64decode(digest))
    except ValueError:
        return False
