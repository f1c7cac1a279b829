"""The fault of data that cannot be parsed, and limits on its size and depth."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from mclu_shell.errors import MCluError

T = TypeVar("T")

# More than libvirt and QEMU send.
MOST_CHARACTERS = 1 << 20
# The XML of a guest with 500 disks. It is parsed for each question about it, and its tree takes up to 15 MB.
MOST_XML_CHARACTERS = 1 << 18
# libxml2 reads no deeper XML, so libvirt cannot have it.
MOST_LEVELS = 256
# Linux's PATH_MAX is 4096 bytes; QEMU allows 1023 for the name of a backing file, which may have a directory in front.
LONGEST_NAME = 8192


class InvalidData(MCluError):
    """Data of a node or guest that cannot be parsed, or exceeds a limit."""

    code = "invalid-data"


def require_size(text: str, kind: str, most: int = MOST_CHARACTERS) -> None:
    """Raise InvalidData if a text is too long."""
    if len(text) > most:
        raise InvalidData(f"{kind} of {len(text)} characters is too long (at most {most})")


def require_depth(root: T, children: Callable[[T], Iterable[T]], kind: str) -> None:
    """Raise InvalidData if a tree has too many levels."""
    level: Sequence[T] = [root]
    for _ in range(MOST_LEVELS):
        level = [child for node in level for child in children(node)]
        if not level:
            return
    raise InvalidData(f"{kind} is nested too deeply (at most {MOST_LEVELS} levels)")


def is_count(text: str) -> bool:
    """Return whether a text is a number below 2**63 in decimal digits, as the kernel and libvirt print it."""
    return text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) < 1 << 63


def parse_count(text: str) -> int:
    """Return such a number; raise InvalidData."""
    if not is_count(text):
        raise InvalidData(f"{text[:40]!r} is not a number")
    return int(text)
