"""The error for switching off a node that has guests in memory: their states, and what helps."""

from collections.abc import Sequence
from enum import Enum, auto

from mclu_shell.cloud.state.guest import PAUSED, RUNS, SUSPENDED, Guest
from mclu_shell.cloud.state.guest_name import guest_command
from mclu_shell.errors import Refused

# A longer list makes the error harder to read.
_MOST_NAMES = 5
# The states that `start` ends, so that the guest can be shut down.
_VERBS = {PAUSED: "resume", SUSPENDED: "wake"}
# States and reasons for a pause that end without the user.
_TEMPORARY = (
    "in shutdown",
    "creating snapshot",
    "dumping",
    "migrating",
    "post-copy",
    "saving",
    "shutting down",
    "starting up",
)


class _Kind(Enum):
    """A class of states by their remedy: shutdown; `start` and shutdown; patience; force."""

    RUNNING = auto()
    WAKEABLE = auto()
    TEMPORARY = auto()
    STUCK = auto()


_REMEDIES = {
    _Kind.RUNNING: "shut them down or destroy them first",
    _Kind.WAKEABLE: "run 'start' and shut them down, or use 'shutdown --force' to stop them",
    _Kind.TEMPORARY: "retry when that is done",
    _Kind.STUCK: "use 'shutdown --force' to stop them, or destroy them first",
}


def power_off_refusal(node: str, guests: Sequence[Guest]) -> Refused | None:
    """Return the error for switching off a node with these guests; None if none of them is in memory."""
    active = [guest for guest in guests if guest.is_active]
    if not active:
        return None
    fact = _describe(active)
    remedy = _remedy_for_one(active[0]) if len(active) == 1 else _remedy_for_several({_kind(guest) for guest in active})
    return Refused(f"cannot switch off: {fact}", place=node, remedy=remedy)


def _kind(guest: Guest) -> _Kind:
    if guest.state in RUNS:
        return _Kind.RUNNING
    if not {*guest.condition}.isdisjoint(_TEMPORARY):
        return _Kind.TEMPORARY
    return _Kind.WAKEABLE if guest.state in _VERBS else _Kind.STUCK


def _describe(guests: Sequence[Guest]) -> str:
    """Return the guests with their common state, or each with its own."""
    names = [guest.name for guest in guests]
    conditions = {guest.condition for guest in guests}
    if all(guest.state in RUNS for guest in guests):
        return _sentence(names, "running")
    if len(conditions) == 1:
        return _sentence(names, f"{conditions.pop()} and still in memory")
    labels = [f"{guest.name} ({', '.join(filter(None, guest.condition))})" for guest in guests]
    return _sentence(labels, "still in memory")


def _sentence(names: Sequence[str], predicate: str) -> str:
    if len(names) == 1:
        return f"guest {names[0]} is {predicate}"
    if len(names) > _MOST_NAMES:
        names = [*names[:_MOST_NAMES], f"{len(names) - _MOST_NAMES} more"]
    return f"guests {', '.join(names[:-1])} and {names[-1]} are {predicate}"


def _remedy_for_one(guest: Guest) -> str:
    stop = guest_command("shutdown --force", guest.node, guest.name)
    match _kind(guest):
        case _Kind.RUNNING:
            return "shut it down or destroy it first"
        case _Kind.WAKEABLE:
            start = guest_command("start", guest.node, guest.name)
            return f"run {start} to {_VERBS[guest.state]} it and shut it down, or {stop} to stop it"
        case _Kind.TEMPORARY:
            return "retry when that is done"
        case _Kind.STUCK:
            return f"run {stop} to stop it, or destroy it first"


def _remedy_for_several(kinds: set[_Kind]) -> str:
    if len(kinds) == 1:
        return _REMEDIES[kinds.pop()]
    need = "'start' first, or '--force'" if _Kind.WAKEABLE in kinds else "'--force'"
    return f"shut them down (those that do not run need {need}) or destroy them"
