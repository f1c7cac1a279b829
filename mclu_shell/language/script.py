"""Scripts: their text and arguments."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mclu_shell.errors import UsageError
from mclu_shell.files.reader import read_file, read_stream
from mclu_shell.language.line import Line, Variables
from mclu_shell.language.parser import parts

_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.ASCII | re.DOTALL)


class Script(NamedTuple):
    """A script's name for messages, text, variables and absolute path.

    `place`, the path, is empty for standard input and pipes, which can be read only once.
    """

    name: str
    text: str
    variables: Variables
    place: str = ""

    def parts(self) -> list[Line | UsageError]:
        """Return the script's lines; a UsageError with file and line replaces a line that cannot be parsed."""
        return list(parts(self.text, self.name, self.variables))


def read_script(name: str, words: Sequence[str] = ()) -> Script:
    """Read a script from a file or standard input (`-`); raise UsageError if it cannot be read.

    `words` are its arguments; those of the form `NAME=value` set variables instead, unless `--` is before them.
    """
    variables = _variables(words)
    try:
        if name == "-":
            return Script("stdin", _text(read_stream(sys.stdin.buffer, "stdin"), "stdin"), variables)
        path = Path(name)
        return Script(name, _text(read_file(path), name), variables, str(path.resolve()) if path.is_file() else "")
    except (OSError, ValueError) as error:
        place = "stdin" if name == "-" else name
        raise UsageError(f"cannot read: {getattr(error, 'strerror', error)}", place=place) from error


def _variables(words: Sequence[str]) -> Variables:
    end = words.index("--") if "--" in words else len(words)
    named = {match[1]: match[2] for word in words[:end] if (match := _NAMED.fullmatch(word))}
    others = [word for word in words[:end] if not _NAMED.fullmatch(word)]
    return Variables((*others, *words[end + 1 :]), named)


def _text(data: bytes, name: str) -> str:
    """Decode a script; accept a byte order mark and CRLF."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("not a text file", place=name) from error
    if "\0" in text:
        raise UsageError("not a text file", place=name)
    return text.replace("\r\n", "\n")
