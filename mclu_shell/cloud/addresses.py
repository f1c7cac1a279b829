"""A guest's addresses, of all that libvirt knows of its interfaces."""

from collections.abc import Callable
from typing import Any

# virDomainInterfaceAddressesSource, the surest first: leases of libvirt's networks, an agent in the guest, its node's
# ARP table.
AGENT = 1
_SOURCES = (0, AGENT, 2)
# Loopback and link-local addresses, which an agent tells, too.
_NOT_REACHED = ("127.", "169.254.", "::1", "fe80:")


def first_known(interfaces: Callable[[int], dict[str, Any]]) -> tuple[str, ...]:
    """The addresses of the first source that knows any; `interfaces` is what libvirt tells of each source."""
    for source in _SOURCES:
        found = [one["addr"] for interface in interfaces(source).values() for one in interface["addrs"] or ()]
        if reached := tuple(address for address in found if not address.startswith(_NOT_REACHED)):
            return reached
    return ()
