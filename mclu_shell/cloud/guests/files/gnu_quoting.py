"""File names as GNU coreutils quote them in messages (coreutils' manual, "shell-escape" quoting)."""

import re

from mclu_shell.parsing.limits import LONGEST_NAME

# 'text', "text", $'text' with escapes, and one escaped character.
_PIECE = re.compile(r"""\$'((?:[^'\\]|\\.)*)'|'([^']*)'|"([^"]*)"|\\(.)""", re.DOTALL)
# coreutils print octal escapes and these letters (quotearg.c).
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|(.))", re.DOTALL)
_LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


def unquote(text: str) -> str:
    """Return the file name of a quoted one; the text itself if it is not quoted."""
    # Each byte of a name is at most four characters.
    if len(text) > 4 * LONGEST_NAME:
        return text
    pieces = []
    position = 0
    while match := _PIECE.match(text, position):
        escaped, *others = match.groups()
        if escaped is not None:
            pieces.append(_ESCAPE.sub(_octet, escaped.encode(errors="replace")))
        else:
            pieces.append("".join(filter(None, others)).encode(errors="replace"))
        position = match.end()
    return b"".join(pieces).decode(errors="replace") if position == len(text) else text


def _octet(match: re.Match[bytes]) -> bytes:
    octal, letter = match.groups()
    return bytes([int(octal, 8) & 0xFF]) if octal else _LETTERS.get(letter, letter)
