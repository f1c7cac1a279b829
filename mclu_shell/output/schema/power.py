"""What happens to nodes."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.output.schema.record import Record


@dataclass(frozen=True, slots=True)
class Waking(Record):
    """A magic packet was sent; nothing confirms it."""

    KIND: ClassVar = "waking"

    node: Annotated[str, "whom it is to wake"]
    mac: Annotated[str, "the address that it names"]


@dataclass(frozen=True, slots=True)
class Power(Record):
    """How a node stands when what was asked for has been done, or will not be."""

    KIND: ClassVar = "power"

    node: Annotated[str, "its name"]
    power: Annotated[str, "`on` (of those waited for: libvirt answers) or `off`"]
