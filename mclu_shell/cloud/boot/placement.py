"""The choice of a new guest's node: the first in configuration order with enough free memory. Does no I/O."""

from collections.abc import Sequence
from typing import NamedTuple

from mclu_shell.errors import MCluError, Refused
from mclu_shell.units import format_size


class FreeMemory(NamedTuple):
    """The memory that a node has for new guests, without reservations of boots in progress."""

    node: str
    free_bytes: int
    reserved_bytes: int = 0


class NoRoom(Refused):
    """No node has enough free memory."""

    code = "no-room"


def choose_node(offers: Sequence[FreeMemory], memory_bytes: int) -> FreeMemory:
    """Return the first node with enough free memory; raise NoRoom or MCluError if there is none."""
    for offer in offers:
        if offer.free_bytes >= memory_bytes:
            return offer
    if not offers:
        raise no_node_on()
    requested = format_size(memory_bytes)
    reserved = _format_reserved(sum(offer.reserved_bytes for offer in offers))
    best = max(offers, key=lambda offer: offer.free_bytes)
    free = format_size(best.free_bytes)
    if len(offers) == 1:
        raise NoRoom(f"not enough free memory: {requested} requested, {free} free{reserved}", place=best.node)
    remedy = f"request at most {free} (free on {best.node})"
    raise NoRoom(f"no node has {requested} of memory free{reserved}", remedy=remedy)


def _format_reserved(reserved_bytes: int) -> str:
    return f", and boots in progress have reserved {format_size(reserved_bytes)}" if reserved_bytes else ""


def no_node_on() -> MCluError:
    """Return the error of a boot while all nodes are off."""
    return MCluError("no node is on", remedy="run 'on NODE --wait' first")
