"""Results that commands yield: text for people, with a record (`data`) for -o json."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeVar

from mclu_shell.errors import MCluError
from mclu_shell.language.script import Script

if TYPE_CHECKING:
    from mclu_shell.cloud.concurrency.fanout import Outcome
    from mclu_shell.cloud.dryrun.planned import Planned
    from mclu_shell.cloud.nodes.node import Node
    from mclu_shell.cloud.nodes.polls import Polls
    from mclu_shell.cloud.state.guest import Guest
    from mclu_shell.output.schema.record import Record
    from mclu_shell.terminal import Terminal

Value = TypeVar("Value")

# Called for -o json only, so that text output does not pay for the record.
Data: TypeAlias = Callable[[], "Record"]


class Text(NamedTuple):
    """Text for the user: one or more lines, without a newline at the end."""

    text: str
    data: Data | None = None


class Meter(NamedTuple):
    """A line of details with a share of 0 to 1, which a terminal shows as a bar."""

    text: str
    share: float


class Entry(NamedTuple):
    """A node or guest and its state, with lines of details; `tone` is a tone of `style`."""

    name: str
    state: str
    details: tuple[str | Meter, ...] = ()
    tone: str = "plain"
    data: Data | None = None


class Row(NamedTuple):
    """A line of a table: its cells, and the tone of the line."""

    cells: tuple[str, ...]
    tone: str = "plain"
    data: Data | None = None


class Heading(NamedTuple):
    """The heading of a column; `is_toned` if its cells have the tone of their row, instead of the whole line."""

    text: str
    is_right: bool = False
    is_toned: bool = False


class Table(NamedTuple):
    """Rows with aligned columns; `data` if the table as a whole is one record. Only terminals show the headings."""

    rows: tuple[Row, ...]
    data: Data | None = None
    headings: tuple[Heading, ...] = ()


class Watch(NamedTuple, Generic[Value]):
    """An answer that is shown again after each change of its polls, until the user ends it."""

    polls: "Polls[Value]"
    # Called with the latest outcomes, as `Polls.latest`.
    answer: Callable[[Sequence[tuple["Node", "Outcome[Node, Value] | None"]]], Iterable["Result"]]


class Quit(NamedTuple):
    """The end of the session: no further command runs."""


class Handover(NamedTuple):
    """A program that takes over the terminal, such as a guest's console; the session runs it."""

    what: str
    run: Callable[["Terminal"], None]


def changed(outcome: "Outcome[tuple[Node, Guest], str]", tone: str) -> Entry | MCluError:
    """Return the entry of a changed guest, or the outcome's error."""
    if outcome.error is not None:
        return outcome.error
    from mclu_shell.output.schema.guest_changes import changed_record

    node, guest = outcome.item
    change = outcome.unwrap()
    data = partial(changed_record, node.name, guest.name, change)
    return Entry(f"{node.name}:{guest.name}", change, tone=tone, data=data)


def would(planned: "Planned | MCluError") -> Text | MCluError:
    """Return the line of a planned action, or the error that would occur."""
    if isinstance(planned, MCluError):
        return planned
    from mclu_shell.output.schema.planned import planned_record

    return Text(str(planned), data=partial(planned_record, planned))


# An error among the results is shown and sets the exit status to 1; the command continues.
# The session runs a Script or a Handover before it takes the next result.
Result: TypeAlias = Text | Entry | Table | Watch[Any] | Handover | Script | Quit | MCluError
