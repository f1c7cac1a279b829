"""Records of switching nodes on and off."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.output.schema.record import Record


@dataclass(frozen=True, slots=True)
class Waking(Record):
    """A magic packet was sent, which nodes do not confirm."""

    KIND: ClassVar = "waking"

    node: Annotated[str, "node to wake"]
    mac: Annotated[str, "MAC address in the packet"]


@dataclass(frozen=True, slots=True)
class Power(Record):
    """The state of a node after `on`, `off` or `wait`."""

    KIND: ClassVar = "power"

    node: Annotated[str, "name of the node"]
    power: Annotated[str, "`on` or `off`; after waiting, `on` means that libvirt answers"]
