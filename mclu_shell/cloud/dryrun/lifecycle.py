"""What starting, stopping and waiting for guests would come to, remembered for the lines after it."""

from mclu_shell.cloud.dryrun.cloud import Rehearsal
from mclu_shell.cloud.guests.lifecycle import how_to_start, need_hearing
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.guest import RUNS, Guest


def rehearse_start(rehearsal: Rehearsal, node: Node, guest: Guest) -> str:
    """How a guest would be started; the error of libvirt's if a disk of its is not there."""
    verb = how_to_start(node, guest)
    if verb == "start" and not rehearsal.is_made(guest):
        node.fetch(lambda hypervisor: hypervisor.need_disks(guest.name))
    rehearsal.becomes(guest, "running")
    return verb


def rehearse_shutdown(rehearsal: Rehearsal, node: Node, guest: Guest, *, force: bool) -> None:
    """A guest would shut down when it is told to; Refused if it would not."""
    need_hearing(node, guest, force=force)
    _stops(rehearsal, node, guest)


def rehearse_waiting(rehearsal: Rehearsal, node: Node, guest: Guest, state: str) -> str:
    """A guest would be waited for, until it is as wanted (`Wanted.state`); in what state it is, if it is so already."""
    is_off = not guest.is_active
    if is_off if state == "off" else state == "running" and guest.state in RUNS:
        return guest.state
    if state == "off":
        _stops(rehearsal, node, guest)
    elif is_off:
        rehearsal.becomes(guest, "running")
    return ""


def _stops(rehearsal: Rehearsal, node: Node, guest: Guest) -> None:
    """A guest would have stopped; one that libvirt keeps no definition of would be gone then."""
    if rehearsal.is_made(guest) or node.fetch(lambda hypervisor: hypervisor.is_persistent(guest.name)):
        rehearsal.becomes(guest, "shut off")
    else:
        rehearsal.goes(guest, ())
