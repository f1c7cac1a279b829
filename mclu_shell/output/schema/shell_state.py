"""Records of the interactive shell's state."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.output.schema.record import Record


@dataclass(frozen=True, slots=True)
class Alias(Record):
    """An alias."""

    PLURAL: ClassVar = "aliases"

    name: Annotated[str, "name of the alias"]
    text: Annotated[str, "text that it stands for"]


@dataclass(frozen=True, slots=True)
class Setting(Record):
    """A setting of the interactive shell."""

    PLURAL: ClassVar = "settings"

    name: Annotated[str, "name of the setting"]
    value: Annotated[str, "value"]


@dataclass(frozen=True, slots=True)
class Entered(Record):
    """A line that was entered at the prompt."""

    PLURAL: ClassVar = "lines"

    text: Annotated[str, "text of the line"]
