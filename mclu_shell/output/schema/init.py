"""Records of `init`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mclu_shell.output.schema.record import Record

if TYPE_CHECKING:
    from mclu_shell.cloud.discovery.survey import Host


@dataclass(frozen=True, slots=True)
class CandidateRecord(Record):
    """A host that `init` has queried."""

    KIND: ClassVar = "candidate"

    name: Annotated[str, "name of the host"]
    source: Annotated[str, "`named`, `SSH configuration`, `known_hosts`, or `mclu.conf` for a node that it has already"]
    is_new: Annotated[bool, "true for a node to write"]
    reason: Annotated[str | None, "why it is not written: a text for people, which may change"]
    power: Annotated[str, "`on`, `off`, or `unknown` if the host is unreachable"]
    pcpus: Annotated[int | None, "number of physical CPUs"]
    memory_bytes: Annotated[int | None, "total memory"]
    nic: Annotated[str | None, "network interface of the host that carries the SSH connection"]
    mac: Annotated[str | None, "its MAC address; of a host that is off, from a neighbour table"]
    wakes: Annotated[bool | None, "true if Wake-on-LAN is enabled; null if unknown"]


@dataclass(frozen=True, slots=True)
class Configuration(Record):
    """The configuration file of `init`, and the answer of the user."""

    KIND: ClassVar = "configuration"

    path: Annotated[str, "the file"]
    nodes: Annotated[tuple[str, ...], "new nodes, in their order in the file"]
    written: Annotated[bool, "false if the user's answer was no, or there was no new node"]
    hashed: Annotated[int, "number of hashed entries of known_hosts, whose hosts cannot be listed"]


def candidate_record(host: "Host") -> CandidateRecord:
    """Return the record of a host."""
    return CandidateRecord(
        host.name,
        str(host.candidate.source),
        is_new=host.is_new,
        reason=host.reason or None,
        power=host.power,
        pcpus=host.info.pcpus if host.info else None,
        memory_bytes=host.info.memory_bytes if host.info else None,
        nic=host.card.name if host.card else None,
        mac=host.mac,
        wakes=host.card.is_armed if host.card else None,
    )
