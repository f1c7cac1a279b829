"""Where a new guest goes: the first node, in configuration order, that has room for it. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from mclu_shell.errors import MCluError, Refused
from mclu_shell.units import format_size


class FreeMemory(NamedTuple):
    """The memory for a new guest on a node, without what boots in progress have reserved."""

    node: str
    free_bytes: int
    reserved_bytes: int = 0


class NoRoom(Refused):
    """No node has as much memory to give."""

    code = "no-room"


def choose(rooms: Sequence[FreeMemory], memory_bytes: int) -> FreeMemory:
    """Return the first with enough free memory; raise MCluError with the most that there is."""
    for room in rooms:
        if room.free_bytes >= memory_bytes:
            return room
    if not rooms:
        raise MCluError("no node is on", remedy="'on NODE --wait' wakes one")
    wanted = format_size(memory_bytes)
    reserved = _reserved(sum(room.reserved_bytes for room in rooms))
    most = max(rooms, key=lambda room: room.free_bytes)
    if len(rooms) == 1:
        raise NoRoom(f"{wanted} of memory wanted, {format_size(most.free_bytes)} free{reserved}", place=most.node)
    remedy = f"{most.node} has most: {format_size(most.free_bytes)}"
    raise NoRoom(f"no node has {wanted} of memory free{reserved}", remedy=remedy)


def _reserved(reserved_bytes: int) -> str:
    return f", and boots in progress have reserved {format_size(reserved_bytes)}" if reserved_bytes else ""
