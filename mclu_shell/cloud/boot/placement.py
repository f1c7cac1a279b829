"""Where a new guest goes: the first node, in configuration order, that has room for it. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from mclu_shell.errors import MCluError, Refused
from mclu_shell.units import format_size


class FreeMemory(NamedTuple):
    """What a node could give a new guest: memory in bytes."""

    node: str
    free_bytes: int


class NoRoom(Refused):
    """No node has as much memory to give."""

    code = "no-room"


def choose(rooms: Sequence[FreeMemory], memory_bytes: int) -> FreeMemory:
    """The first with enough free memory; MCluError says what there is if none has."""
    for room in rooms:
        if room.free_bytes >= memory_bytes:
            return room
    wanted = format_size(memory_bytes)
    if len(rooms) == 1:
        raise NoRoom(f"{wanted} of memory wanted, {format_size(rooms[0].free_bytes)} free", place=rooms[0].node)
    if not rooms:
        raise MCluError("no node is on", remedy="'on NODE --wait' wakes one")
    most = max(rooms, key=lambda room: room.free_bytes)
    raise NoRoom(f"no node has {wanted} of memory free", remedy=f"{most.node} has most: {format_size(most.free_bytes)}")
