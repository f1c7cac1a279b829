"""Records of commands and their arguments."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.output.schema.record import Record


@dataclass(frozen=True, slots=True)
class Argument(Record):
    """An option or a positional argument of a command."""

    names: Annotated[tuple[str, ...], "names of an option, such as `--yes`; empty for a positional argument"]
    value: Annotated[str | None, "name of its value in the usage; null if it takes none"]
    help: Annotated[str, "description"]


@dataclass(frozen=True, slots=True)
class CommandRecord(Record):
    """A command."""

    PLURAL: ClassVar = "commands"

    name: Annotated[str, "name of the command"]
    group: Annotated[str, "help category"]
    summary: Annotated[str, "first line of the help"]
    about: Annotated[str, "full help, with examples"]
    usage: Annotated[str, "usage line"]
    arguments: Annotated[tuple[Argument, ...], "options and positional arguments"]
