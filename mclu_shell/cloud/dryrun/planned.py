"""The record of one action that a dry run plans."""

from typing import NamedTuple

from mclu_shell.units import format_size


class Planned(NamedTuple):
    """A planned action: its verb, its node or guest, and details in words (`how`).

    Only JSON shows `memory_bytes`, `vcpus` and `size_bytes` (of a new guest and its disk), `accel` and `accel_reason`
    (of a new guest) and `mac` (of a magic packet). `path` is the file that would be written. `delete` has the sizes in
    bytes of the files that would be deleted, `keep` the reasons of those that would be kept. `state` names what libvirt
    would delete with a guest, for example "snapshot one".
    """

    verb: str
    node: str = ""
    guest: str = ""
    how: str = ""
    path: str = ""
    memory_bytes: int | None = None
    vcpus: int | None = None
    size_bytes: int | None = None
    mac: str = ""
    accel: str = ""
    accel_reason: str = ""
    delete: tuple[tuple[str, int], ...] = ()
    keep: tuple[tuple[str, str], ...] = ()
    state: tuple[str, ...] = ()

    def __str__(self) -> str:
        target = ":".join(filter(None, (self.node, self.guest))) or self.path
        head = " ".join(filter(None, ("would", self.verb, target)))
        delete = (f"would delete {file} ({format_size(size_bytes)})" for file, size_bytes in self.delete)
        state = (f"would delete {name}" for name in self.state)
        keep = (f"would keep {file} ({reason})" for file, reason in self.keep)
        return "\n  ".join((f"{head}: {self.how}" if self.how else head, *delete, *state, *keep))
