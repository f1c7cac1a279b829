"""States of guests and the reasons for them, in virsh's words (libvirt's libvirt-domain.html). Errors are libvirt's."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import libvirt

from mclu_shell.cloud.state.guest import IO_ERROR, PAUSED, SAVED, SHUT_OFF, Condition

# virDomainState.
STATES = ("no state", "running", "idle", PAUSED, "in shutdown", SHUT_OFF, "crashed", "pmsuspended")
# The reasons that matter to a user; a guest that a user has paused or shut down needs no explanation.
_REASONS: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        PAUSED: MappingProxyType(
            {
                libvirt.VIR_DOMAIN_PAUSED_MIGRATION: "migrating",
                libvirt.VIR_DOMAIN_PAUSED_SAVE: "saving",
                libvirt.VIR_DOMAIN_PAUSED_DUMP: "dumping",
                libvirt.VIR_DOMAIN_PAUSED_IOERROR: IO_ERROR,
                libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: "watchdog",
                libvirt.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT: "from snapshot",
                libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN: "shutting down",
                libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT: "creating snapshot",
                libvirt.VIR_DOMAIN_PAUSED_CRASHED: "crashed",
                libvirt.VIR_DOMAIN_PAUSED_STARTING_UP: "starting up",
                libvirt.VIR_DOMAIN_PAUSED_POSTCOPY: "post-copy",
                libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: "post-copy failed",
            }
        ),
        SHUT_OFF: MappingProxyType(
            {libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: "crashed", libvirt.VIR_DOMAIN_SHUTOFF_FAILED: "failed"}
        ),
        "crashed": MappingProxyType({libvirt.VIR_DOMAIN_CRASHED_PANICKED: "panicked"}),
    }
)
_DISK_ERRORS = MappingProxyType({libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE: "no space"})


def condition(state: int, reason: int) -> Condition:
    """Return the state and reason for libvirt's numbers."""
    name = STATES[state] if state < len(STATES) else STATES[0]
    return Condition(name, _REASONS[name].get(reason, "") if name in _REASONS else "")


def fetch_condition(domain: Any) -> Condition:
    """Return the state of a guest and the reason for it."""
    found = condition(*domain.state())
    # libvirt forgets why a guest is shut off when it restarts, but not the saved memory.
    return Condition(SHUT_OFF, SAVED) if found.state == SHUT_OFF and domain.hasManagedSaveImage(0) else found


def fetch_saved(connection: Any) -> frozenset[str]:
    """Return the UUIDs of the guests with saved memory."""
    flags = libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE | libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE
    return frozenset(domain.UUIDString() for domain in connection.listAllDomains(flags))


def fetch_disk_errors(domain: Any) -> tuple[str, ...]:
    """Return the disks of a running guest that have failed, each with its error: `vda: no space`."""
    errors = domain.diskErrors(0)
    return tuple(
        f"{disk}: {_DISK_ERRORS.get(number, 'I/O error')}" for disk, number in sorted(errors.items()) if number
    )
