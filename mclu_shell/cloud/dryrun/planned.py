"""What a dry run tells: a frozen record of each thing that would be done."""

from typing import NamedTuple

from mclu_shell.units import format_size


class Planned(NamedTuple):
    """What a line would do: `verb` as one says it, to which node or guest, and how, in words.

    Programs have `path` (the file that would be written), `memory_bytes`, `vcpus`, `size_bytes` (of a new guest and its
    disk), `accel` and `accel_reason` (of a new guest), and `mac` (which a packet would name); everybody is told what
    would be deleted, with sizes in bytes, and what would be kept, with the reason. `state` is what libvirt would delete
    with a guest, such as "snapshot one".
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
        what = ":".join(filter(None, (self.node, self.guest))) or self.path
        head = " ".join(filter(None, ("would", self.verb, what)))
        delete = (f"would delete {file} ({format_size(size_bytes)})" for file, size_bytes in self.delete)
        state = (f"would delete {name}" for name in self.state)
        keep = (f"would keep {file} ({why})" for file, why in self.keep)
        return "\n  ".join((f"{head}: {self.how}" if self.how else head, *delete, *state, *keep))
