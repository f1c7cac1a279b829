"""A request to boot a guest, as the user gave it."""

from typing import NamedTuple


class BootRequest(NamedTuple):
    """The options of `boot`: None for a default; `host` is empty if any node may get the guest.

    `opens` contains "console" and "viewer" if the guest needs one to be opened after its start.
    """

    name: str
    host: str = ""
    memory_bytes: int | None = None
    size_bytes: int | None = None
    timezone: str | None = None
    vcpus: int | None = None
    opens: frozenset[str] = frozenset()
