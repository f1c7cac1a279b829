"""Dry runs of the start, the shutdown and the wait of guests, with effects on later lines."""

from mclu_shell.cloud.dryrun.cloud import DryRunCloud
from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.guests.lifecycle import choose_start_action, describe_cause
from mclu_shell.cloud.guests.shutdown import require_can_shut_down
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import IO_ERROR, RUNS, SAVED, Guest


def dry_run_start(cloud: DryRunCloud, node: Node, guest: Guest) -> Planned:
    """Return how a guest would be started; raise libvirt's error if one of its disks is missing."""
    verb = choose_start_action(node, guest)
    if verb == "start" and not cloud.is_made(guest):
        node.query(lambda client: client.require_disks(guest.name))
    cloud.set_state(guest, "running")
    return Planned(verb, node.name, guest.name, _describe_start(node, guest))


def _describe_start(node: Node, guest: Guest) -> str:
    if guest.reason == IO_ERROR:
        return f"{guest.state} by {describe_cause(node, guest, guest.condition)}; again if the error persists"
    return "with its saved memory" if guest.reason == SAVED else ""


def dry_run_shutdown(cloud: DryRunCloud, node: Node, guest: Guest, *, force: bool) -> None:
    """Shut a guest down in the dry run; raise Refused if it would not respond."""
    require_can_shut_down(node, guest, force=force)
    _stops(cloud, node, guest)


def dry_run_waiting(cloud: DryRunCloud, node: Node, guest: Guest, state: str) -> str:
    """Wait for a guest in the dry run; return its state if that is `state` already, otherwise an empty string."""
    is_off = not guest.is_active
    if is_off if state == "off" else state == "running" and guest.state in RUNS:
        return guest.state
    if state == "off":
        _stops(cloud, node, guest)
    elif is_off:
        cloud.set_state(guest, "running")
    return ""


def _stops(cloud: DryRunCloud, node: Node, guest: Guest) -> None:
    """Stop a guest in the dry run; without a persistent definition it is gone then."""
    if cloud.is_made(guest) or node.query(lambda client: client.is_persistent(guest.name)):
        cloud.set_state(guest, "shut off")
    else:
        cloud.remove_guest(guest, ())
