"""Where libvirt listens on a node, and why it cannot be reached there."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from mclu_shell.cloud.transport.forward import ByteStream, Forward
from mclu_shell.errors import ConnectionLost, LibvirtDown, LibvirtFault, NodeFault, SSHFault, SSHRefused

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.ssh.client import SSHConnection

# libvirtd, then the split daemon for QEMU (libvirt's daemons.html).
LIBVIRT_SOCKETS = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock")
_numbers = itertools.count()
# sshd answers alike whether nobody listens there or it is not allowed to connect. /proc/net/unix has who listens; the
# path may stand there with /var in front.
_WHY = """\
for path do
    if grep -q "[ /]${path#/}\\$" /proc/net/unix; then
        if [ -w "$path" ]; then echo forbidden; else echo "denied $path"; fi
        exit
    fi
done"""


def open_libvirt_socket(connection: "SSHConnection", deadline: float) -> "tuple[str, ByteStream]":
    """The path of the socket that answers, and a channel to it; NodeFault says why there is none."""
    found = _answering(connection, deadline)
    if found is None:
        fault = _why_not(connection, deadline)
        # Where somebody listens there all the same, libvirtd may have come up meanwhile.
        found = _answering(connection, deadline) if isinstance(fault, SSHRefused) else None
        if found is None:
            raise fault
    return found


def _answering(connection: "SSHConnection", deadline: float) -> "tuple[str, ByteStream] | None":
    for path in LIBVIRT_SOCKETS:
        channel = connection.open_channel(path, _left(deadline))
        if channel is not None:
            return path, channel
    return None


def _left(deadline: float) -> float:
    return max(0.1, deadline - time.monotonic())


def _why_not(connection: "SSHConnection", deadline: float) -> NodeFault:
    node, user = connection.target.node, connection.target.user
    try:
        found = connection.run(["sh", "-c", _WHY, "sh", *LIBVIRT_SOCKETS], _left(deadline)).out.split()
    except (SSHFault, ConnectionLost):
        # Where no command may be run, nothing more is known.
        found = []
    if found[:1] == ["forbidden"]:
        # The latter forbids sockets, too (sshd's channel_connect_to_path).
        remedy = (
            "set 'AllowStreamLocalForwarding yes' and 'AllowTcpForwarding yes' in its sshd_config; "
            "nor may authorized_keys restrict our key"
        )
        return SSHRefused("ssh: sshd forwards no sockets", place=node, remedy=remedy)
    if found[:1] == ["denied"]:
        remedy = f"on the node, as root: usermod -aG libvirt {user}"
        return LibvirtFault(f"{user} has no permission for {found[-1]}", place=node, remedy=remedy)
    return LibvirtDown("libvirtd not running", place=node, remedy="on the node: systemctl start libvirtd")


def forwarded_uri(uri: str, path: Path) -> str:
    """A libvirt URI for the daemon behind a local socket (libvirt's uri.html, "socket" parameter)."""
    parts = urlsplit(uri)
    return f"{parts.scheme}+unix://{parts.path}?socket={quote(str(path))}"


def branch(uri: str, path: Path, connect: Callable[[], ByteStream]) -> tuple[str, Forward]:
    """A forward beside the one at `path`, and libvirt's URI through it."""
    forward = Forward(path.with_name(f"{path.stem}-{next(_numbers)}.sock"), connect)
    return forwarded_uri(uri, forward.path), forward
