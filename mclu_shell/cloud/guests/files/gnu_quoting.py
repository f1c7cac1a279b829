"""File names as GNU coreutils quote them in messages (coreutils' manual, "shell-escape" quoting)."""

import re

# 'text', "text", $'text' with escapes, and one escaped character.
_PIECE = re.compile(r"""\$'((?:[^'\\]|\\.)*)'|'([^']*)'|"([^"]*)"|\\(.)""", re.DOTALL)


def unquote(text: str) -> str:
    """Return the file name of a quoted one; the text itself if it is not quoted."""
    pieces = []
    position = 0
    while match := _PIECE.match(text, position):
        escaped, *others = match.groups()
        if escaped is not None:
            octets = escaped.encode().decode("unicode_escape").encode("latin-1", errors="replace")
            pieces.append(octets)
        else:
            pieces.append("".join(filter(None, others)).encode())
        position = match.end()
    return b"".join(pieces).decode(errors="replace") if position == len(text) else text
