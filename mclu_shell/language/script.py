"""Scripts: reading them, and what they are given."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mclu_shell.errors import UsageError
from mclu_shell.language.line import Line, Variables
from mclu_shell.language.parser import parts

_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.ASCII | re.DOTALL)


class Script(NamedTuple):
    """A script's text, what it is called in messages, what it was given, and its place.

    That is empty for what can be read only once: standard input, or a pipe.
    """

    name: str
    text: str
    variables: Variables
    place: str = ""

    def parts(self) -> list[Line | UsageError]:
        """Its commands, and in the place of each that cannot be read what is wrong, with file and line."""
        return list(parts(self.text, self.name, self.variables))


def read_script(name: str, words: Sequence[str] = ()) -> Script:
    """The script of a file, or of standard input (`-`), and its arguments; UsageError if it cannot be read.

    A `NAME=value` is no argument, but sets a variable.
    """
    named = {found[1]: found[2] for word in words if (found := _NAMED.fullmatch(word))}
    variables = Variables(tuple(word for word in words if not _NAMED.fullmatch(word)), named)
    if name == "-":
        return Script("stdin", _text(sys.stdin.buffer.read(), "stdin"), variables)
    try:
        path = Path(name)
        return Script(name, _text(path.read_bytes(), name), variables, str(path.resolve()) if path.is_file() else "")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read: {getattr(error, 'strerror', error)}", place=name) from error


def _text(data: bytes, name: str) -> str:
    """With lines ended as ours are."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("not a text file", place=name) from error
    if "\0" in text:
        raise UsageError("not a text file", place=name)
    return text.replace("\r\n", "\n")
