"""IP addresses that guests, DHCP servers and neighbour tables report."""

import ipaddress

# "This network" (RFC 791, section 3.2): Linux connects to 0.0.0.0 as to itself.
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
# IPv6 addresses that stand for IPv4 addresses: RFC 4291 (mapped), RFC 6052 (translated), RFC 3056, RFC 4380.
_STAND_INS = [ipaddress.ip_network(net) for net in ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "2002::/16", "2001::/32")]


def parse_guest_address(text: object) -> str | None:
    """Return an address in its one usual notation; None if no guest can be reached at it.

    Programs get the result as an argument, so it never begins with a dash, and has no zone. A name is no address.
    Loopback and link-local addresses would be those of the machine that connects.
    """
    if not isinstance(text, str) or "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    is_special = (
        address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address.is_multicast
        or address.is_reserved
        or address in _THIS_NETWORK
        or any(address in network for network in _STAND_INS)
    )
    return None if is_special else str(address)
