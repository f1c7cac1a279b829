"""Records of nodes."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from mclu_shell.output.schema.record import Record, Time


@dataclass(frozen=True, slots=True)
class NodeRecord(Record):
    """A node with its CPUs and memory, which are null if it is off or does not answer."""

    PLURAL: ClassVar = "nodes"

    name: Annotated[str, "name in mclu.conf"]
    power: Annotated[str, "`on`, `off`, or `unknown` if the node is unreachable"]
    fault: Annotated[str | None, "why it does not answer, if it is not off; details are in `errors`"] = None
    pcpus: Annotated[int | None, "number of physical CPUs"] = None
    memory_bytes: Annotated[int | None, "total memory"] = None
    used_guests: Annotated[int | None, "number of running guests"] = None
    used_vcpus: Annotated[int | None, "virtual CPUs of the running guests"] = None
    used_bytes: Annotated[int | None, "maximum memory of the running guests"] = None
    halted_guests: Annotated[tuple[str, ...] | None, "those that use memory, but do not run: paused, crashed, …"] = None
    free_bytes: Annotated[int | None, "memory available to a new guest"] = None
    as_of: Annotated[Time | None, "time of the data if it is cached; null if the node has just answered"] = None
