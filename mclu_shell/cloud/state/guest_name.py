"""Names of guests: patterns, checks, and commands about a guest for messages."""

import re
from fnmatch import fnmatchcase
from typing import NamedTuple

from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import quoted_command

# libvirt uses a guest's name in file names, whose maximum length on Linux this is.
_MAX_BYTES = 255
_NEW_NAME = re.compile(r"[A-Za-z0-9._-]{1,63}")
_NOT_IN_NAME = ".qcow2"


class GuestPattern(NamedTuple):
    """A `[HOST:]GUEST` argument; either part may have wildcards, and an empty host means all nodes."""

    host: str
    guest: str

    def __str__(self) -> str:
        return f"{self.host}:{self.guest}" if self.host else self.guest

    @property
    def is_wildcard(self) -> bool:
        """True if the pattern may match several guests, such as one name on several nodes."""
        return has_wildcard(self.host) or has_wildcard(self.guest)

    def matches(self, guest: Guest) -> bool:
        """Return whether the guest part matches a guest; the host part selects the nodes."""
        return guest.name == self.guest or fnmatchcase(guest.name, self.guest)


def has_wildcard(text: str) -> bool:
    """Return whether a part of a name has wildcards."""
    return any(char in text for char in "*?[")


def parse_guest(text: str) -> GuestPattern:
    """Split `[HOST:]GUEST`; raise ValueError if libvirt does not allow the name.

    A guest's own name may contain a colon; such a guest needs its host in front.
    """
    host, colon, guest = text.partition(":")
    if not colon:
        host, guest = "", text
    # libvirt refuses newlines and slashes; other control characters would disturb the user's terminal.
    is_bad = "/" in guest or any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or _is_surrogate(char) for char in guest)
    if not guest.strip() or is_bad or (colon and not host) or len(guest.encode(errors="replace")) > _MAX_BYTES:
        raise ValueError(f"bad guest name {text!r}")
    return GuestPattern(host, guest)


def check_new_name(name: str) -> str:
    """Return a new guest's name, which becomes a host name and a file name; raise ValueError if it is not valid."""
    rule = ""
    if not _NEW_NAME.fullmatch(name):
        rule = "use at most 63 letters, digits, '.', '_' and '-'"
    elif not name[0].isalnum():
        rule = "must begin with a letter or a digit"
    # The names of a guest's other files begin with that of its disk; another guest's disk must not look like one.
    elif _NOT_IN_NAME in name:
        rule = f"must not contain {_NOT_IN_NAME!r}"
    if rule:
        raise ValueError(f"bad guest name {name!r}: {rule}")
    return name


def guest_command(verb: str, node: str, guest: str) -> str:
    """Return a command about a guest for a message, quoted so that it can be typed or pasted."""
    return quoted_command(*verb.split(), f"{node}:{guest}")


def _is_surrogate(char: str) -> bool:
    # Python decodes bytes that are not UTF-8 to these characters (PEP 383).
    return 0xD800 <= ord(char) < 0xE000
