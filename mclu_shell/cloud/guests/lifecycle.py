"""Start, shutdown and reboot of guests."""

from contextlib import suppress

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.console.log import mark_reboot
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import Guest, is_active_state
from mclu_shell.cloud.state.guest_name import guest_command
from mclu_shell.errors import LibvirtFault, MCluError, NotFound, Refused
from mclu_shell.units import format_duration

_POLL_S = 0.25
_REPEAT_S = 5.0
# virsh's name of the state: the guest is in memory, but its CPUs are stopped.
_PAUSED = "paused"
_FORCE = "--force to stop it like pulling its plug"


def start(node: Node, guest: Guest) -> str:
    """Start a stopped guest or resume a paused one; return "started" or "resumed"."""
    action = choose_start_action(node, guest)
    _change(node, guest, action)
    return f"{action}d" if action == "resume" else f"{action}ed"


def choose_start_action(node: Node, guest: Guest) -> str:
    """Return `start` or `resume`, by the guest's state; raise Refused if it runs."""
    if guest.state == _PAUSED:
        return "resume"
    if guest.is_active:
        raise Refused(f"{guest.name} is already {guest.state}", place=node.name)
    return "start"


def reboot(node: Node, guest: Guest, *, hard: bool) -> str:
    """Request a reboot, or reset the guest; return which."""
    action = choose_reboot_action(node, guest, hard=hard)
    mark_reboot(node, guest.name)
    _change(node, guest, action)
    return "reset" if hard else "reboot requested"


def choose_reboot_action(node: Node, guest: Guest, *, hard: bool) -> str:
    """Return `reboot` or `reset`; raise Refused if the guest cannot respond to it."""
    require_active(node, guest)
    if guest.state == _PAUSED and not hard:
        # libvirt accepts the request, but a paused guest ignores it.
        raise _paused(node, guest, "--hard to reset it")
    return "reset" if hard else "reboot"


def shutdown(node: Node, guest: Guest, scope: CancelScope, *, force: bool) -> str:
    """Request a shutdown and wait for it; return "shut down" or "stopped by force".

    At the deadline, raise MCluError, or with `force` stop the guest as if its plug were pulled. If `scope` is
    cancelled, raise MCluError at once: an interrupted command must not force anything.
    """
    require_can_shut_down(node, guest, force=force)
    while True:
        # The request is repeated because a booting guest ignores its power button.
        if _request_shutdown(node, guest, force=force):
            return "shut down"
        if wait_until_stopped(node, guest.name, scope.limit(_REPEAT_S)):
            return "shut down"
        if scope.is_over:
            break
    if not force or scope.is_cancelled:
        raise MCluError(
            f"{guest.name} is still running after {format_duration(scope.timeout_s)}",
            place=node.name,
            remedy=f"use {_FORCE}",
        )
    with suppress(NotFound):  # A guest without a persistent definition is gone once it stops by itself.
        node.change_guest(guest.name, "stop", guest.uuid)
    return "stopped by force"


def require_can_shut_down(node: Node, guest: Guest, *, force: bool) -> None:
    """Raise Refused if the guest does not run, or is paused and `force` is not set."""
    require_active(node, guest)
    if guest.state == _PAUSED and not force:
        raise _paused(node, guest, _FORCE)


def _request_shutdown(node: Node, guest: Guest, *, force: bool) -> bool:
    """Request a shutdown; return True if that fails because the guest has already stopped.

    With `force`, ignore libvirt's errors: the guest hangs, or is paused for a moment while it is being saved.
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
            raise _paused(node, guest, _FORCE) from error
        raise
    return False


def _paused(node: Node, guest: Guest, option: str) -> Refused:
    remedy = f"run {guest_command('start', node.name, guest.name)} to resume it, or use {option}"
    return Refused(f"{guest.name} is paused and cannot respond", place=node.name, remedy=remedy)


def wait_until_stopped(node: Node, name: str, scope: CancelScope) -> bool:
    """Wait until a guest stops; return False at the deadline, or when cancelled."""
    while is_active_state(_fetch_state(node, name)):
        if scope.is_over:
            return False
        scope.sleep(_POLL_S)
    return True


def _fetch_state(node: Node, name: str) -> str:
    # A guest without a persistent definition is gone once it stops.
    return node.query(lambda client: client.fetch_state(name)) or "shut off"


def require_active(node: Node, guest: Guest) -> None:
    """Raise Refused if a guest does not run."""
    if not guest.is_active:
        remedy = f"run {guest_command('start', node.name, guest.name)}"
        raise Refused(f"{guest.name} is not running", place=node.name, remedy=remedy)


def _change(node: Node, guest: Guest, action: str) -> None:
    try:
        node.change_guest(guest.name, action, guest.uuid)
    except NotFound as error:
        raise NotFound(f"{guest.name} no longer exists", place=node.name) from error
