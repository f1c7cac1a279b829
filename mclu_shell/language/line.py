"""The result of parsing: lines, and the variables of a script."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Variables(NamedTuple):
    """A script's positional and named arguments."""

    arguments: tuple[str, ...] = ()
    named: Mapping[str, str] = MappingProxyType({})

    def value(self, name: str) -> str | None:
        """Return the value of `1`, `#` or a name; None if it is not set."""
        if name == "#":
            return str(len(self.arguments))
        if name.isdecimal():
            return self.arguments[int(name) - 1] if 0 < int(name) <= len(self.arguments) else None
        return self.named.get(name)


NO_VARIABLES = Variables()


class Line(NamedTuple):
    """One command: its words, the destination of its output, and the line (from 1) on which it begins.

    `shell` is a whole line for the user's own shell (`!…`); then there are no words. `variables` are for that, and for
    `pipe`. With `may_fail` (a `-` before it) its failure stops nothing.
    """

    words: tuple[str, ...] = ()
    number: int = 1
    pipe: str = ""
    output: str = ""
    append: bool = False
    shell: str = ""
    may_fail: bool = False
    variables: Variables = NO_VARIABLES
