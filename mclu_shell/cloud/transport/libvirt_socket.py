"""The sockets of libvirt on a node, and the reasons why a connection to them fails."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from mclu_shell.cloud.transport.forward import ByteStream, Forward
from mclu_shell.errors import ConnectionLost, LibvirtDown, LibvirtFault, NodeFault, SSHFault, SSHRefused

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.ssh.connection import SSHConnection

# libvirtd, then the split daemon for QEMU (libvirt's daemons.html).
LIBVIRT_SOCKETS = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock")
_ALLOW_FORWARDS = (
    "set 'AllowStreamLocalForwarding yes' and 'AllowTcpForwarding yes' in its sshd_config, "
    "and remove PermitOpen there and restrictions on the key from authorized_keys"
)
_numbers = itertools.count()
# sshd's error is the same if no process listens and if it may not connect. /proc/net/unix lists the listening sockets,
# possibly with /var before the path.
_DIAGNOSE = """\
for path do
    if grep -q "[ /]${path#/}\\$" /proc/net/unix; then
        if [ -w "$path" ]; then echo forbidden; else echo "denied $path"; fi
        exit
    fi
done"""


def open_libvirt_socket(connection: "SSHConnection", deadline: float) -> "tuple[str, ByteStream]":
    """Return the path of libvirt's socket and a channel to it; raise the NodeFault that explains why there is none."""
    opened = _try_sockets(connection, deadline)
    if opened is None:
        fault = _diagnose(connection, deadline)
        # If a process listens by now, libvirtd may just have started.
        opened = _try_sockets(connection, deadline) if isinstance(fault, SSHRefused) else None
        if opened is None:
            raise fault
    return opened


def _try_sockets(connection: "SSHConnection", deadline: float) -> "tuple[str, ByteStream] | None":
    for path in LIBVIRT_SOCKETS:
        channel = connection.open_channel(path, _left_s(deadline))
        if channel is not None:
            return path, channel
    return None


def _left_s(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())


def _diagnose(connection: "SSHConnection", deadline: float) -> NodeFault:
    node, user = connection.target.node, connection.target.user
    try:
        words = connection.run(["sh", "-c", _DIAGNOSE, "sh", *LIBVIRT_SOCKETS], _left_s(deadline)).out.split()
    except (SSHFault, ConnectionLost):
        # The account may run no commands.
        fact = "libvirtd not running, or sshd does not forward sockets"
        remedy = f"on the node: systemctl start libvirtd; else {_ALLOW_FORWARDS}"
        return LibvirtDown(fact, place=node, remedy=remedy, is_stopped=True)
    if words[:1] == ["forbidden"]:
        # AllowTcpForwarding applies to unix sockets, too (sshd's channel_connect_to_path).
        return SSHRefused("ssh: sshd does not forward sockets", place=node, remedy=_ALLOW_FORWARDS)
    if words[:1] == ["denied"]:
        remedy = f"on the node, as root: usermod -aG libvirt {user}"
        return LibvirtFault(f"{user} has no permission for {words[-1]}", place=node, remedy=remedy)
    remedy = "on the node: systemctl start libvirtd"
    return LibvirtDown("libvirtd not running", place=node, remedy=remedy, is_stopped=True)


def forwarded_uri(uri: str, path: Path) -> str:
    """Return the libvirt URI of the daemon behind a local socket (libvirt's uri.html, "socket" parameter)."""
    parts = urlsplit(uri)
    return f"{parts.scheme}+unix://{parts.path}?socket={quote(str(path))}"


def branch(uri: str, path: Path, connect: Callable[[], ByteStream]) -> tuple[str, Forward]:
    """Open a forward beside the one at `path`; return libvirt's URI through it, and the forward."""
    forward = Forward(path.with_name(f"{path.stem}-{next(_numbers)}.sock"), connect)
    return forwarded_uri(uri, forward.path), forward
