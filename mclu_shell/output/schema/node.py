"""A node, as `status` tells of it."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.output.schema.record import Record, Time


@dataclass(frozen=True, slots=True)
class NodeRecord(Record):
    """A node and what it has; what it has is null for one that is off or does not answer."""

    PLURAL: ClassVar = "nodes"

    name: Annotated[str, "as in mclu.conf"]
    power: Annotated[str, "`on`, `off`, or `unknown` where no way leads to it"]
    fault: Annotated[str | None, "why it does not answer, in a few words, if it is not off; `errors` has more"] = None
    pcpus: Annotated[int | None, "physical CPUs"] = None
    memory_bytes: Annotated[int | None, "its memory in all"] = None
    used_guests: Annotated[int | None, "guests that run"] = None
    used_vcpus: Annotated[int | None, "their virtual CPUs"] = None
    used_bytes: Annotated[int | None, "memory that they may use"] = None
    free_bytes: Annotated[int | None, "memory that a new guest can have"] = None
    as_of: Annotated[Time | None, "when that was so, if it is only remembered; null if the node has just said it"] = (
        None
    )
