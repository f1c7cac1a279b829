"""Names of guests: patterns, checks, and commands about a guest as messages show them."""

import re
from fnmatch import fnmatchcase
from typing import NamedTuple

from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import quoted_command

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

    def matches(self, guest: Guest) -> bool:
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
        rule = "use at most 63 letters, digits, '.', '_' and '-'"
    elif not name[0].isalnum():
        rule = "must begin with a letter or a digit"
    # Files beside a guest's disk are named after it; another guest's must never look like one of them.
    elif _NOT_IN_NAME in name:
        rule = f"must not contain {_NOT_IN_NAME!r}"
    if rule:
        raise ValueError(f"bad guest name {name!r}: {rule}")
    return name


def to_type(verb: str, node: str, guest: str) -> str:
    """A command about a guest, as messages show it: it can be typed or pasted, whatever the guest is called."""
    return quoted_command(*verb.split(), f"{node}:{guest}")


def _is_half(char: str) -> bool:
    # Python's stand-in for a byte that is not UTF-8.
    return 0xD800 <= ord(char) < 0xE000
