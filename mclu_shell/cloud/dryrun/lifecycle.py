"""Dry runs of starting, shutting down and waiting for guests."""

from mclu_shell.cloud.dryrun.cloud import DryRunCloud
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.guests.lifecycle import choose_start_action, describe_cause
from mclu_shell.cloud.guests.shutdown import require_can_shut_down
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import IO_ERROR, RUNS, SAVED, Guest


def dry_run_start(cloud: DryRunCloud, node: Node, guest: Guest) -> Planned:
    """Return the action that would start a guest, and record its start; raise libvirt's error if a disk is missing."""
    verb = choose_start_action(node, guest)
    if verb == "start" and not cloud.is_new(guest):
        node.query(lambda client: client.require_disks(guest.name))
    cloud.set_state(guest, "running")
    return Planned(verb, node.name, guest.name, _describe_start(node, guest))


def _describe_start(node: Node, guest: Guest) -> str:
    if guest.reason == IO_ERROR:
        return f"{guest.state} by {describe_cause(node, guest, guest.condition)}; again if the error persists"
    return "with its saved memory" if guest.reason == SAVED else ""


def dry_run_shutdown(cloud: DryRunCloud, node: Node, guest: Guest, *, force: bool) -> None:
    """Record the shutdown of a guest; raise Refused if the guest could not shut down."""
    require_can_shut_down(node, guest, force=force)
    _record_stop(cloud, node, guest)


def dry_run_wait_for_guest(cloud: DryRunCloud, node: Node, guest: Guest, state: str) -> str:
    """Record that a guest reaches a state (`WaitCondition.state`); return its present state if it has reached it."""
    is_off = not guest.is_active
    if is_off if state == "off" else state == "running" and guest.state in RUNS:
        return guest.state
    if state == "off":
        _record_stop(cloud, node, guest)
    elif is_off:
        cloud.set_state(guest, "running")
    return ""


def _record_stop(cloud: DryRunCloud, node: Node, guest: Guest) -> None:
    """Record that a guest has stopped, or is gone if libvirt keeps no definition of it."""
    if cloud.is_new(guest) or node.query(lambda client: client.is_persistent(guest.name)):
        cloud.set_state(guest, "shut off")
    else:
        cloud.remove_guest(guest, ())
