"""What the interactive shell has besides."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.output.schema.record import Record


@dataclass(frozen=True, slots=True)
class Alias(Record):
    """A word that stands for a line."""

    PLURAL: ClassVar = "aliases"

    name: Annotated[str, "the word"]
    text: Annotated[str, "the line"]


@dataclass(frozen=True, slots=True)
class Setting(Record):
    """Something that `set` sets."""

    PLURAL: ClassVar = "settings"

    name: Annotated[str, "what it is"]
    value: Annotated[str, "how it is set"]


@dataclass(frozen=True, slots=True)
class Entered(Record):
    """A line that was entered at the prompt."""

    PLURAL: ClassVar = "lines"

    text: Annotated[str, "the line"]
