"""What there is to know of a command."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.output.schema.record import Record


@dataclass(frozen=True, slots=True)
class Argument(Record):
    """An option of a command, or an argument that is known by its place."""

    names: Annotated[tuple[str, ...], "an option's names, such as `--yes`; none of what is known by its place"]
    value: Annotated[str | None, "what stands for its value in the usage; null if it takes none"]
    help: Annotated[str, "what it is for"]


@dataclass(frozen=True, slots=True)
class CommandRecord(Record):
    """A command."""

    PLURAL: ClassVar = "commands"

    name: Annotated[str, "as it is typed"]
    group: Annotated[str, "what one wants to do who uses it"]
    summary: Annotated[str, "what it does, in a line"]
    about: Annotated[str, "the same in full, with examples"]
    usage: Annotated[str, "how it is typed"]
    arguments: Annotated[tuple[Argument, ...], "what it takes"]
