"""A request to boot a guest, as the user gave it."""

from typing import NamedTuple


class BootRequest(NamedTuple):
    """What the user asked for; None where a default is to be found. `host` is empty where any node will do.

    `opens` is what has to be there to be opened once the guest runs: console, viewer, or both.
    """

    name: str
    host: str = ""
    memory_bytes: int | None = None
    size_bytes: int | None = None
    timezone: str | None = None
    vcpus: int | None = None
    opens: frozenset[str] = frozenset()
