"""What a command yields: small frozen records that a renderer shows as text, and later as data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mclu_shell.errors import MCluError
from mclu_shell.script import Script

if TYPE_CHECKING:
    from mclu_shell.cloud.planned import Planned
    from mclu_shell.terminal import Terminal


@dataclass(frozen=True, slots=True)
class Text:
    """Words for the user, as they stand (one or more lines, no newline at the end)."""

    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing and its state, with details beneath it; `tone` is good, bad, quiet or plain."""

    name: str
    state: str
    details: tuple[str, ...] = ()
    tone: str = "plain"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: its cells, and the tone of the line."""

    cells: tuple[str, ...]
    tone: str = "plain"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows whose cells are aligned in columns."""

    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Quit:
    """Nothing more is to be run."""


@dataclass(frozen=True, slots=True)
class Handover:
    """Something that has the terminal while it runs, such as a guest's console; the session runs it."""

    what: str
    run: Callable[["Terminal"], None]


def would(planned: "Planned | MCluError") -> Text | MCluError:
    """What a dry run tells of one thing that would be done, or would go wrong."""
    return planned if isinstance(planned, MCluError) else Text(str(planned))


# A command yields these as it goes; an error among them is told, makes the exit status 1, and ends nothing.
# The session runs a script where it comes.
Result: TypeAlias = Text | Entry | Table | Handover | Script | Quit | MCluError
