"""The guests that are destroyed before another one, and their files."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from mclu_shell.cloud.guests.files.file_uses import FileUse

# The node and the UUID of a guest.
GuestKey: TypeAlias = tuple[str, str]


class Leaving(NamedTuple):
    """Guests that are destroyed earlier by the same command, and the files that go with them, by node and key.

    Such a guest is no reason to keep a file. A file that is kept when its guest goes may be one: an image that mclu did
    not make, for example, still needs its backing file.
    """

    guests: frozenset[GuestKey] = frozenset()
    files: Mapping[tuple[str, str], GuestKey] = MappingProxyType({})

    def add(self, guest: GuestKey, keys: tuple[str, ...]) -> "Leaving":
        """Return the same with a guest and the keys of the files that are deleted with it."""
        return Leaving(self.guests | {guest}, {**self.files, **{(guest[0], key): guest for key in keys}})

    def find_enders(self, node: str, use: FileUse) -> tuple[GuestKey, ...]:
        """Return the guests whose destruction ends a use of a file by a guest of a node; none if none does."""
        user = (node, use.uuid)
        if user not in self.guests:
            return ()
        if use.is_direct:
            return (user,)
        owner = self.files.get((node, use.source))
        return (user, owner) if owner else ()
