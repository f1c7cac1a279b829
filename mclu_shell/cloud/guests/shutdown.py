"""Shutdown of guests."""

from contextlib import suppress

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.guests.lifecycle import cannot_respond, change, require_active, require_responsive
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import CRASHED, PAUSED, SHUT_OFF, SUSPENDED, Condition, Guest, is_active_state
from mclu_shell.errors import Interrupted, LibvirtFault, MCluError, NotFound
from mclu_shell.units import format_duration

_POLL_S = 0.25
_REPEAT_S = 5.0
_FORCE = "--force to stop it like pulling its plug"


def shutdown(node: Node, guest: Guest, scope: CancelScope, *, force: bool) -> str:
    """Request a shutdown and wait for it; return "shut down" or "stopped by force".

    At the deadline, raise MCluError, or with `force` stop the guest as if its plug were pulled. If `scope` is
    cancelled, raise Interrupted at once: an interrupted command must not force anything.
    """
    require_can_shut_down(node, guest, force=force)
    # A crashed guest never responds.
    if guest.state != CRASHED:
        if _request_until_stopped(node, guest, scope, force=force):
            return "shut down"
        if scope.is_cancelled:
            fact = f"{guest.name} was asked to shut down, but still runs: interrupted"
            raise Interrupted(fact, place=node.name, guest=guest.name)
        if not force:
            fact = f"{guest.name} is still running after {format_duration(scope.timeout_s)}"
            raise MCluError(fact, place=node.name, remedy=f"use {_FORCE}")
    with suppress(NotFound):  # A guest without a persistent definition is gone once it stops by itself.
        node.change_guest(guest.name, "stop", guest.uuid)
    return "stopped by force"


def _request_until_stopped(node: Node, guest: Guest, scope: CancelScope, *, force: bool) -> bool:
    """Request a shutdown again and again; return False at the deadline, or when cancelled.

    The request is repeated because a booting guest ignores its power button.
    """
    if guest.state == SUSPENDED:
        with suppress(LibvirtFault):
            change(node, guest, "wake")
    while True:
        if _request_shutdown(node, guest, force=force):
            return True
        if wait_until_stopped(node, guest.name, scope.limit(_REPEAT_S)):
            return True
        if scope.is_over:
            return False


def require_can_shut_down(node: Node, guest: Guest, *, force: bool) -> None:
    """Raise Refused if the guest does not run, or cannot respond and `force` is not set."""
    require_active(node, guest)
    if not force:
        require_responsive(node, guest, _FORCE)


def _request_shutdown(node: Node, guest: Guest, *, force: bool) -> bool:
    """Request a shutdown; return True if that fails because the guest has already stopped.

    With `force`, ignore libvirt's errors: the guest hangs, or is paused for a moment while it is being saved.
    """
    try:
        node.change_guest(guest.name, "shutdown", guest.uuid)
    except (LibvirtFault, NotFound) as error:
        condition = _fetch_condition(node, guest.name)
        if not is_active_state(condition.state):
            return True
        if force and isinstance(error, LibvirtFault):
            return False
        if condition.state == PAUSED:
            raise cannot_respond(node, guest, condition, _FORCE) from error
        raise
    return False


def wait_until_stopped(node: Node, name: str, scope: CancelScope) -> bool:
    """Wait until a guest stops; return False at the deadline, or when cancelled."""
    while is_active_state(_fetch_condition(node, name).state):
        if scope.is_over:
            return False
        scope.sleep(_POLL_S)
    return True


def _fetch_condition(node: Node, name: str) -> Condition:
    # A guest without a persistent definition is gone once it stops.
    return node.query(lambda client: client.fetch_condition(name)) or Condition(SHUT_OFF)
