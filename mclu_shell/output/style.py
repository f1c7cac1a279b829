"""The style of all output: colours, characters, and the terminals that get them."""

import os
from collections.abc import Callable
from typing import NamedTuple, TextIO, TypeAlias

# Returns a text in the colour of a tone, or without colour.
Painter: TypeAlias = Callable[[str, str], str]

# ECMA-48 SGR, in the terminal's own palette, which suits light and dark backgrounds.
_SGR = {"good": "32", "warning": "33", "bad": "31", "quiet": "2", "heading": "1", "plain": ""}
# Memory in use from these shares on is a warning, and bad.
_WARNING_SHARE, _BAD_SHARE = 0.75, 0.9
_BAR_CELLS = 20
# The bars of several nodes are aligned at this column of their lines.
METER_COLUMN = 30
_DEFAULT_SIZE = os.terminal_size((80, 24))


class Glyphs(NamedTuple):
    """The characters of an output, as its locale allows."""

    ellipsis: str
    full: str
    empty: str
    spinner: str


UNICODE = Glyphs("…", "█", "░", "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
PLAIN = Glyphs("...", "#", ".", "|/-\\")


def glyphs(stream: TextIO) -> Glyphs:
    """Return the characters that a stream can show."""
    try:
        "".join(UNICODE).encode(stream.encoding or "ascii")
    except (UnicodeError, LookupError):
        return PLAIN
    return PLAIN if _is_c_locale() else UNICODE


def _is_c_locale() -> bool:
    """Return whether the user's locale is C; Python writes UTF-8 there (PEP 538, PEP 540)."""
    # Python itself sets LC_CTYPE=C.UTF-8 if all these are C or unset.
    ctype = os.environ.get("LC_CTYPE", "").replace("C.UTF-8", "")
    name = os.environ.get("LC_ALL") or ctype or os.environ.get("LANG")
    return name in (None, "", "C", "POSIX")


def is_capable(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that moves its cursor and shows colours."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb")


def terminal_size(stream: TextIO) -> os.terminal_size:
    """Return the columns and lines of a terminal; 80 by 24 if they are unknown."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return _DEFAULT_SIZE
    return size if size.columns and size.lines else _DEFAULT_SIZE


class Look(NamedTuple):
    """The look of an output: its colours, and for a terminal its width and characters."""

    painter: Painter
    columns: int | None = None
    glyphs: Glyphs = PLAIN


def paint(text: str, tone: str) -> str:
    """Return text in the colour of its tone."""
    return f"\x1b[{_SGR[tone]}m{text}\x1b[0m" if _SGR[tone] and text else text


def unpainted(text: str, _tone: str) -> str:
    """Return text without colour."""
    return text


def bar(share: float, characters: Glyphs) -> tuple[str, str]:
    """Return a bar with a percentage for a share of 0 to 1 (or more), and its tone."""
    cells = min(_BAR_CELLS, round(share * _BAR_CELLS))
    tone = "bad" if share >= _BAD_SHARE else "warning" if share >= _WARNING_SHARE else "good"
    return f"{characters.full * cells}{characters.empty * (_BAR_CELLS - cells)} {share:4.0%}", tone


# Output for programs.
PLAIN_LOOK = Look(unpainted)
