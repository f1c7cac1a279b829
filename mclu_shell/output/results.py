"""What a command yields: what a renderer shows to a person, with the record of it (`data`) that it gives a program."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from mclu_shell.errors import MCluError
from mclu_shell.language.script import Script

if TYPE_CHECKING:
    from mclu_shell.cloud.concurrency.fanout import Outcome
    from mclu_shell.cloud.dryrun.planned import Planned
    from mclu_shell.cloud.nodes.node import Node
    from mclu_shell.cloud.state.guest import Guest
    from mclu_shell.output.schema.record import Record
    from mclu_shell.terminal import Terminal

# Makes what a result is to a program. A person's answer need not wait for it.
Data: TypeAlias = Callable[[], "Record"]


class Text(NamedTuple):
    """Words for the user, as they stand (one or more lines, no newline at the end)."""

    text: str
    data: Data | None = None


class Entry(NamedTuple):
    """One thing and its state, with details beneath it; `tone` is good, bad, quiet or plain."""

    name: str
    state: str
    details: tuple[str, ...] = ()
    tone: str = "plain"
    data: Data | None = None


class Row(NamedTuple):
    """One line of a table: its cells, and the tone of the line."""

    cells: tuple[str, ...]
    tone: str = "plain"
    data: Data | None = None


class Table(NamedTuple):
    """Rows whose cells are aligned in columns; `data` where all of it is one thing."""

    rows: tuple[Row, ...]
    data: Data | None = None


class Quit(NamedTuple):
    """Nothing more is to be run."""


class Handover(NamedTuple):
    """Something that has the terminal while it runs, such as a guest's console; the session runs it."""

    what: str
    run: Callable[["Terminal"], None]


def changed(outcome: "Outcome[tuple[Node, Guest], str]", tone: str) -> Entry | MCluError:
    """What was done to a guest, in the words of the outcome, or what went wrong."""
    if outcome.error is not None:
        return outcome.error
    # Only what changes guests needs it.
    from mclu_shell.output.schema.guest_changes import Changed

    node, guest = outcome.item
    done = outcome.unwrap()
    return Entry(f"{node.name}:{guest.name}", done, tone=tone, data=partial(Changed, node.name, guest.name, done))


def would(planned: "Planned | MCluError") -> Text | MCluError:
    """What a dry run tells of one thing that would be done, or would go wrong."""
    if isinstance(planned, MCluError):
        return planned
    # Only a dry run needs it.
    from mclu_shell.output.schema.planned import planned_record

    return Text(str(planned), data=partial(planned_record, planned))


# A command yields these as it goes; an error among them is told, makes the exit status 1, and ends nothing.
# The session runs a script where it comes.
Result: TypeAlias = Text | Entry | Table | Handover | Script | Quit | MCluError
