"""Detection of a libvirtd that has as many clients as its configuration allows, and accepts no more."""

from contextlib import suppress

from mclu_shell.cloud.transport.base import LibvirtTransport
from mclu_shell.errors import MCluError

_TIMEOUT_S = 3.0
# Prints the limit and the configuration file of a daemon that has reached its limit. /proc/net/unix lists a daemon's
# listening socket, its connections, and those that wait to be accepted. virt-admin would need root, and a libvirtd
# that answers.
_FIND_LIMIT = r"""
for daemon in libvirtd:libvirt-sock virtqemud:virtqemud-sock; do
    file=/etc/libvirt/${daemon%:*}.conf
    limit=$(sed -n 's/^ *max_clients *= *\([0-9]*\).*/\1/p' "$file" 2>/dev/null | tail -n 1)
    count=$(grep -c "/run/libvirt/${daemon#*:}$" /proc/net/unix)
    [ $((count - 1)) -lt "${limit:-5000}" ] || echo "${limit:-5000} $file"
done
"""


def describe_client_limit(transport: LibvirtTransport) -> tuple[str, str] | None:
    """Return the fact and the remedy if the node's libvirt has reached its limit of clients; otherwise None."""
    with suppress(MCluError, OSError):
        words = transport.direct().run(["sh", "-c", _FIND_LIMIT], _TIMEOUT_S).out.split()
        if len(words) >= 2:
            remedy = f"end clients, or raise max_clients in {words[1]} on the node"
            return f"libvirt has as many clients as it allows ({words[0]})", remedy
    return None
