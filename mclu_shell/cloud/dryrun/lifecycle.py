"""What starting, stopping and waiting for guests would come to, remembered for the lines after it."""

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
    """A guest would shut down when it is told to; Refused if it would not."""
    require_can_shut_down(node, guest, force=force)
    _stops(cloud, node, guest)


def dry_run_waiting(cloud: DryRunCloud, node: Node, guest: Guest, state: str) -> str:
    """A guest would be waited for, until it is as wanted (`Wanted.state`); in what state it is, if it is so already."""
    is_off = not guest.is_active
    if is_off if state == "off" else state == "running" and guest.state in RUNS:
        return guest.state
    if state == "off":
        _stops(cloud, node, guest)
    elif is_off:
        cloud.set_state(guest, "running")
    return ""


def _stops(cloud: DryRunCloud, node: Node, guest: Guest) -> None:
    """A guest would have stopped; one that libvirt keeps no definition of would be gone then."""
    if cloud.is_made(guest) or node.query(lambda client: client.is_persistent(guest.name)):
        cloud.set_state(guest, "shut off")
    else:
        cloud.remove_guest(guest, ())
