"""What a dry run tells: a frozen record of each thing that would be done."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Planned:
    """What a line would do: `verb` as one says it, to which node or guest, and how, in words.

    `details` are what more would be done at once, such as files that go, a line each.
    """

    verb: str
    node: str = ""
    guest: str = ""
    how: str = ""
    details: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f"{self.node}:{self.guest}" if self.guest else self.node
        head = " ".join(filter(None, ("would", self.verb, what)))
        return "\n  ".join((f"{head}: {self.how}" if self.how else head, *self.details))
