"""How a machine is reached: over SSH, on this machine, or simulated. Each opens the way to its libvirt."""

import contextlib
import itertools
import logging
import math
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlsplit

from mclu_shell.cloud.dial import dial
from mclu_shell.cloud.forward import Address, Duplex, Forward
from mclu_shell.cloud.keepalive import Answering, Ear
from mclu_shell.cloud.libvirtsocket import LIBVIRT_SOCKETS, open_libvirt_socket
from mclu_shell.cloud.process import Completed, LocalProcess, Process, run_here
from mclu_shell.cloud.sshconfig import SSHConfig, Target
from mclu_shell.cloud.wake import send_magic_packet
from mclu_shell.config import NodeConfig
from mclu_shell.errors import LibvirtDown, LibvirtFault, LinkLost, NodeFault, NodeOff, SSHFault, Unreachable

if TYPE_CHECKING:
    from mclu_shell.cloud.ssh.link import Link

_log = logging.getLogger(__name__)

# sudo is needed only by a user who is not root; a non-interactive shell may have no sbin in its PATH.
_POWER_OFF = 'PATH=$PATH:/usr/sbin:/sbin; if [ "$(id -u)" = 0 ]; then poweroff; else sudo -n poweroff; fi'
_POWER_OFF_TIMEOUT_S = 20.0


class Access(Protocol):
    """The way to one machine. Methods raise NodeFault; none blocks longer than it is told."""

    @property
    def modules(self) -> tuple[str, ...]:
        """What opening it will import."""

    @property
    def heard_at(self) -> float:
        """When its libvirtd last said something by itself (of time.monotonic); -inf where that is not known."""

    def open(self, deadline: float) -> str:
        """Reach the machine before `deadline` (of time.monotonic); the URI of its libvirt, to be opened here."""

    def answers(self, timeout_s: float) -> bool:
        """Whether an opened way still leads there."""

    def cut(self) -> None:
        """End libvirt's calls that are blocked on the way, from our end."""

    def close(self) -> None:
        """Give up the way; what waits on it ends at once."""

    def is_off(self, timeout_s: float) -> bool:
        """Whether nothing answers at the machine's address."""

    def wake(self) -> None:
        """Ask the machine to switch on."""

    def power_off(self) -> None:
        """Tell the machine to switch off cleanly."""

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command on the machine, over the way that is open."""

    def start(self, argv: Sequence[str]) -> Process:
        """Start a command on the machine, over the way that is open."""

    def branch(self) -> tuple[str, Forward | None]:
        """A URI of libvirt for one more connection, and what cuts that one alone (if it can be cut)."""

    def connect(self, address: Address) -> Duplex:
        """What listens at an address of the machine, over the way that is open; ConnectionRefusedError if nothing."""


def forwarded_uri(uri: str, path: Path) -> str:
    """A libvirt URI for the daemon behind a local socket (libvirt's uri.html, "socket" parameter)."""
    parts = urlsplit(uri)
    return f"{parts.scheme}+unix://{parts.path}?socket={quote(str(path))}"


_branches = itertools.count()


def _branch(uri: str, path: Path, connect: Callable[[], Duplex]) -> tuple[str, Forward]:
    """A forward beside the one at `path`, and libvirt's URI through it."""
    forward = Forward(path.with_name(f"{path.stem}-{next(_branches)}.sock"), connect)
    return forwarded_uri(uri, forward.path), forward


class SSHAccess:
    """Over one SSH connection: libvirt through a forwarded private socket, commands beside it."""

    def __init__(self, node: NodeConfig, socket_path: Path, ssh_config: SSHConfig, shared: Path | None = None) -> None:
        """`shared` is the socket that an open shell has for this node: used as long as it is good for anything."""
        self.node = node
        self._ssh_config = ssh_config
        self._shared = shared
        self._socket_path = socket_path
        self._link: Link | None = None
        self._forward: Forward | None = None
        self._ready: Duplex | None = None
        self._remote_path = ""
        self._ear = Ear()

    @property
    def modules(self) -> tuple[str, ...]:
        """paramiko, where no other shell's connection is to be used."""
        return () if self._shared is not None else ("mclu_shell.cloud.ssh.link",)

    def open(self, deadline: float) -> str:
        """Dial, log in, find libvirt's socket and forward it; or have another shell's."""
        if self._shared is not None and self._shared.is_socket():
            return forwarded_uri(self.node.uri, self._shared)
        self._shared = None
        self._link = self._login(deadline)
        self._remote_path, self._ready = open_libvirt_socket(self._link, deadline)
        self._forward = Forward(self._socket_path, self._answering)
        return forwarded_uri(self.node.uri, self._socket_path)

    @property
    def heard_at(self) -> float:
        """When libvirtd last said something (of time.monotonic), on whichever connection through the socket."""
        return self._ear.heard_at

    def _answering(self) -> Duplex:
        return Answering(self._channel(), self._ear)

    def _target(self) -> Target:
        return self._ssh_config.resolve(self.node)

    def _login(self, deadline: float) -> "Link":
        target = self._target()
        started = time.perf_counter()
        sock = dial(target, self.node.connect_timeout)
        _log.debug("%s: connect: %.1f ms", self.node.name, (time.perf_counter() - started) * 1000)
        # paramiko takes a quarter of a second to import; for a cloud whose nodes are all off it is not needed.
        from mclu_shell.cloud.ssh.link import Link

        return Link(target, sock, deadline)

    def _channel(self) -> Duplex:
        """What a new local connection is carried to; the first takes the channel that found libvirt."""
        if self._shared is not None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.connect(str(self._shared))
            return connection
        ready, self._ready = self._ready, None
        if ready is not None:
            return ready
        link = self._link
        channel = link.open_socket(self._remote_path, self.node.answer_timeout) if link is not None else None
        if channel is None:
            raise ConnectionRefusedError
        return channel

    def answers(self, timeout_s: float) -> bool:
        """Whether sshd answers on the open connection; one that is not ours is looked after by whose it is."""
        if self._link is None and self._shared is not None:
            return self._shared.is_socket()
        return self._link is not None and self._link.is_alive and self._link.answers(timeout_s)

    def cut(self) -> None:
        """End what libvirt waits for; the SSH connection stays."""
        if self._shared is not None:
            from mclu_shell.cloud.share import cut_connections

            cut_connections(self._shared)
            # Whoever has it may be what hangs.
            self._shared = None
        if self._forward is not None:
            self._forward.cut()

    def close(self) -> None:
        """End the SSH connection and remove the socket."""
        self._shared = None
        forward, self._forward = self._forward, None
        if forward is not None:
            forward.close()
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def is_off(self, timeout_s: float) -> bool:
        """Whether nothing answers, not even with a refusal; Unreachable if there is no way to know."""
        try:
            dial(self._target(), timeout_s).close()
        except NodeOff:
            return True
        except Unreachable:
            raise
        except NodeFault:
            return False
        return False

    def wake(self) -> None:
        """Send the magic packet."""
        send_magic_packet(self.node)

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command on the node."""
        return self._opened().run(argv, timeout_s)

    def start(self, argv: Sequence[str]) -> Process:
        """Start a command on the node."""
        return self._opened().start(argv)

    def branch(self) -> tuple[str, Forward | None]:
        """One more forwarded socket."""
        return _branch(self.node.uri, self._socket_path, self._channel)

    def connect(self, address: Address) -> Duplex:
        """A channel to a socket or port of the node."""
        link, timeout_s = self._opened(), self.node.answer_timeout
        channel = (
            link.open_socket(address, timeout_s) if isinstance(address, str) else link.open_port(address, timeout_s)
        )
        if channel is None:
            raise ConnectionRefusedError
        return channel

    def _opened(self) -> "Link":
        if self._link is None and self._shared is not None:
            # Another shell's connection carries libvirt and nothing else.
            self._link = self._login(time.monotonic() + self.node.answer_timeout)
        if self._link is None:
            raise LinkLost("the connection was lost", place=self.node.name)
        return self._link

    def power_off(self) -> None:
        """Run poweroff on the node, with sudo if the user is not root."""
        link = self._link or self._login(time.monotonic() + self.node.answer_timeout)
        self._link = link
        done = link.run(["sh", "-c", _POWER_OFF], _POWER_OFF_TIMEOUT_S)
        # -1: the node went down before sshd could tell.
        if done.status not in (0, -1):
            said = (done.err or done.out).strip().splitlines()
            reason = said[-1] if said else f"exit status {done.status}"
            raise SSHFault(f"poweroff failed: {reason}", place=self.node.name)


class LocalAccess:
    """This machine's own libvirt (`via=local`), through a forwarded socket, so that its calls can be cut too."""

    modules: tuple[str, ...] = ()
    heard_at = -math.inf

    def __init__(self, node: NodeConfig, socket_path: Path) -> None:
        self.node = node
        self._socket_path = socket_path
        self._forward: Forward | None = None
        self._remote_path = ""

    def open(self, deadline: float) -> str:  # noqa: ARG002
        """Find the daemon's socket and forward it; a URI that is not the system's is left to libvirt."""
        if not self.node.uri.endswith("/system"):
            return self.node.uri
        self._remote_path = self._find_libvirt()
        self._forward = Forward(self._socket_path, self._connect)
        return forwarded_uri(self.node.uri, self._socket_path)

    def _find_libvirt(self) -> str:
        for path in LIBVIRT_SOCKETS:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError), self._connect(path):
                return path
        raise LibvirtDown("libvirtd not running", place=self.node.name, remedy="systemctl start libvirtd")

    def _connect(self, path: str = "") -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(path or self._remote_path)
        except PermissionError as error:
            connection.close()
            raise LibvirtFault(
                f"no permission for {path or self._remote_path}",
                place=self.node.name,
                remedy="join the group 'libvirt'",
            ) from error
        except OSError:
            connection.close()
            raise
        return connection

    def answers(self, timeout_s: float) -> bool:  # noqa: ARG002
        """This machine is here."""
        return True

    def cut(self) -> None:
        """End what libvirt waits for."""
        if self._forward is not None:
            self._forward.cut()

    def close(self) -> None:
        """Remove the socket."""
        forward, self._forward = self._forward, None
        if forward is not None:
            forward.close()

    def is_off(self, timeout_s: float) -> bool:  # noqa: ARG002
        """Never: we run on it."""
        return False

    def wake(self) -> None:
        """Nothing to do."""
        raise NodeFault("is this machine, which is on", place=self.node.name)

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command here."""
        return run_here(argv, timeout_s)

    def start(self, argv: Sequence[str]) -> Process:
        """Start a command here."""
        return LocalProcess(argv)

    def branch(self) -> tuple[str, Forward | None]:
        """One more forwarded socket, where there is one at all."""
        if self._forward is None:
            return self.node.uri, None
        return _branch(self.node.uri, self._socket_path, self._connect)

    def connect(self, address: Address) -> Duplex:
        """A socket or port of this machine."""
        if isinstance(address, str):
            return self._connect(address)
        connection = socket.create_connection(address, self.node.answer_timeout)
        connection.settimeout(None)
        return connection

    def power_off(self) -> None:
        """Not ours to do: it would end this program, too."""
        raise NodeFault("is this machine; mclu does not switch it off", place=self.node.name)
