"""The screen of a guest."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.output.schema.record import Record


@dataclass(frozen=True, slots=True)
class ScreenRecord(Record):
    """A guest's screen can be seen, as long as mclu runs."""

    KIND: ClassVar = "screen"

    node: Annotated[str, "where the guest is"]
    guest: Annotated[str, "its name there"]
    uri: Annotated[str, "what a viewer connects to, at an address of this machine"]
