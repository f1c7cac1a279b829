"""Starting, shutting down and rebooting guests, and waiting until it has happened."""

import threading
import time
from contextlib import suppress

from mclu_shell.cloud.console.log import mark_reboot
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest, is_active_state
from mclu_shell.cloud.state.guest_name import to_type
from mclu_shell.errors import LibvirtFault, MCluError, NotFound, Refused
from mclu_shell.units import format_duration

_POLL_S = 0.25
_ASK_AGAIN_S = 5.0
# virsh's word for a guest that holds its memory, and hears nothing.
_PAUSED = "paused"


def start(node: Node, guest: Guest) -> str:
    """Start a guest that is not running, or let one that is paused go on. What was done."""
    verb = choose_start_action(node, guest)
    _change(node, guest, verb)
    return f"{verb}d" if verb == "resume" else f"{verb}ed"


def choose_start_action(node: Node, guest: Guest) -> str:
    """`start` or `resume`, whichever a guest needs; Refused if it runs."""
    if guest.state == _PAUSED:
        return "resume"
    if guest.is_active:
        raise Refused(f"{guest.name} is {guest.state} already", place=node.name)
    return "start"


def reboot(node: Node, guest: Guest, *, hard: bool) -> str:
    """Ask a guest to reboot, or reset it; which, in words."""
    verb = choose_reboot_action(node, guest, hard=hard)
    mark_reboot(node, guest.name)
    _change(node, guest, verb)
    return "reset" if hard else "told to reboot"


def choose_reboot_action(node: Node, guest: Guest, *, hard: bool) -> str:
    """`reboot` or `reset`; Refused if nothing would come of it."""
    require_active(node, guest)
    if guest.state == _PAUSED and not hard:
        # libvirt would take the request, and nothing come of it.
        raise _paused(node, guest, "--hard resets it")
    return "reset" if hard else "reboot"


def shutdown(node: Node, guest: Guest, timeout_s: float, *, force: bool, stop: threading.Event) -> str:
    """Ask a guest to shut down and wait until it has; with `force`, pull its plug at the end. How it went."""
    require_can_shut_down(node, guest, force=force)
    deadline = time.monotonic() + timeout_s
    while True:
        # Asked again now and then: a guest that is still starting does not see its power button.
        if _ask_to_stop(node, guest, force=force):
            return "shut down"
        if wait_until_stopped(node, guest.name, min(_ASK_AGAIN_S, deadline - time.monotonic()), stop):
            return "shut down"
        if stop.is_set() or time.monotonic() >= deadline:
            break
    # Who interrupts the waiting has not asked for what would have come at its end.
    if not force or stop.is_set():
        raise MCluError(
            f"{guest.name} still runs after {format_duration(timeout_s)}",
            place=node.name,
            remedy="--force stops it, like pulling its plug",
        )
    with suppress(NotFound):  # Without a definition it is gone when it stops, if only just now by itself.
        node.change_guest(guest.name, "stop", guest.uuid)
    return "stopped by force"


def require_can_shut_down(node: Node, guest: Guest, *, force: bool) -> None:
    """Refused if a guest cannot be shut down: it does not run, or is paused and is not to be stopped by force."""
    require_active(node, guest)
    if guest.state == _PAUSED and not force:
        raise _paused(node, guest, "--force stops it, like pulling its plug")


def _ask_to_stop(node: Node, guest: Guest, *, force: bool) -> bool:
    """Ask a guest to shut down; whether it has done so already, if that is why it cannot be asked.

    With `force`, one that cannot be asked does not listen: it hangs, or is paused for a moment, while it is saved.
    """
    try:
        node.change_guest(guest.name, "shutdown", guest.uuid)
    except (LibvirtFault, NotFound) as error:
        state = _fetch_state(node, guest.name)
        if not is_active_state(state):
            return True
        if force and isinstance(error, LibvirtFault):
            return False
        if state == _PAUSED:
            raise _paused(node, guest, "--force stops it, like pulling its plug") from error
        raise
    return False


def _paused(node: Node, guest: Guest, otherwise: str) -> Refused:
    remedy = f"{to_type('start', node.name, guest.name)} resumes it, {otherwise}"
    return Refused(f"{guest.name} is paused, and hears nothing", place=node.name, remedy=remedy)


def wait_until_stopped(node: Node, name: str, timeout_s: float, stop: threading.Event) -> bool:
    """Whether a guest stops in time."""
    deadline = time.monotonic() + timeout_s
    while is_active_state(_fetch_state(node, name)):
        if time.monotonic() >= deadline or stop.wait(_POLL_S):
            return False
    return True


def _fetch_state(node: Node, name: str) -> str:
    # A guest without a definition is gone when it stops.
    return node.query(lambda client: client.fetch_state(name)) or "shut off"


def require_active(node: Node, guest: Guest) -> None:
    """Refused if a guest does not run."""
    if not guest.is_active:
        remedy = f"{to_type('start', node.name, guest.name)} starts it"
        raise Refused(f"{guest.name} is not running", place=node.name, remedy=remedy)


def _change(node: Node, guest: Guest, verb: str) -> None:
    try:
        node.change_guest(guest.name, verb, guest.uuid)
    except NotFound as error:
        raise NotFound(f"{guest.name} has gone meanwhile", place=node.name) from error
