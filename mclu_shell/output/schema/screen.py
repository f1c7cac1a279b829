"""Records of guests' screens."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.output.schema.record import Record


@dataclass(frozen=True, slots=True)
class ScreenRecord(Record):
    """The address of a guest's screen, valid as long as mclu runs."""

    KIND: ClassVar = "screen"

    node: Annotated[str, "node of the guest"]
    guest: Annotated[str, "name of the guest"]
    uri: Annotated[str, "URI for a viewer, at an address of this machine"]
