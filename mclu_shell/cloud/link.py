"""One authenticated SSH connection to a node: run a command there, reach a socket there. Imports paramiko."""

import base64
import contextlib
import logging
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from mclu_shell.cloud.dial import SSHD_HANGS
from mclu_shell.cloud.hostkeys import KnownKey, known_keys, listed_name
from mclu_shell.cloud.lean import lean_imports
from mclu_shell.cloud.process import Completed, split_lines
from mclu_shell.cloud.sshconfig import Target
from mclu_shell.errors import HostKeyUnknown, LinkLost, SSHFault, SSHSilent

with lean_imports():
    import paramiko
    from paramiko.agent import AgentSSH
    from paramiko.pkey import UnknownKeyType

_log = logging.getLogger(__name__)
# What paramiko would write by itself belongs in our errors; nothing may write into the prompt.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False

_START_TIMEOUT_S = 10.0
# After so long a silence of a running command, sshd is asked whether it is still there, and given as long to answer.
_SILENT_S = 3.0
_STREAM_LOCAL = "direct-streamlocal@openssh.com"


class RemoteProcess:
    """A command on the node, over a channel of its own (RFC 4254, section 6)."""

    def __init__(self, channel: paramiko.Channel, answers: Callable[[], bool]) -> None:
        self._channel = channel
        self._answers = answers
        channel.settimeout(_SILENT_S)

    def send(self, data: bytes) -> None:
        """Write to its standard input."""
        with contextlib.suppress(OSError):
            self._channel.sendall(data)

    def end_input(self) -> None:
        """Close its standard input."""
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def lines(self) -> Iterator[str]:
        """Its output, line by line."""
        return split_lines(self._chunks())

    def _chunks(self) -> Iterator[bytes]:
        while True:
            try:
                data = self._channel.recv(65536)
            except TimeoutError:
                # It may have nothing to say, or be gone with its node: only asking sshd tells.
                if self._answers():
                    continue
                return
            if not data:
                return
            yield data

    def wait(self, timeout_s: float) -> int:
        """Its exit status; -1 if there is none in time."""
        self._channel.status_event.wait(timeout_s)
        return int(self._channel.exit_status) if self._channel.exit_status_ready() else -1

    def close(self) -> None:
        """Let go of it."""
        self._channel.close()


class _Transport(paramiko.Transport):
    """paramiko's transport, and the channel to a unix socket that OpenSSH has (PROTOCOL, section 2.4)."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._unix_path = ""
        self._unix_lock = threading.Lock()

    def open_unix_channel(self, path: str, timeout_s: float) -> paramiko.Channel:
        """A channel to a unix socket on the node; paramiko.ChannelException if sshd cannot connect to it."""
        with self._unix_lock:
            self._unix_path = path
            return self.open_channel(_STREAM_LOCAL, timeout=timeout_s)

    def _send_user_message(self, data: paramiko.Message) -> None:
        # open_channel has no way to add the fields that this kind of channel needs (string socket path,
        # string reserved, uint32 reserved), and hands its message to this method alone.
        if data.asbytes().startswith(paramiko.common.cMSG_CHANNEL_OPEN) and _STREAM_LOCAL.encode() in data.asbytes():
            data.add_string(self._unix_path)
            data.add_string("")
            data.add_int(0)
        super()._send_user_message(data)  # type: ignore[misc]


class Link:
    """An authenticated SSH connection over a socket that is already connected to sshd."""

    def __init__(self, target: Target, sock: socket.socket, deadline: float) -> None:
        """Shake hands, check the host key, log in, all before `deadline` (of `time.monotonic`)."""
        self.target = target
        started = time.perf_counter()
        self._transport = _Transport(sock)
        self._asking = threading.Lock()
        try:
            _handshake(self._transport, target, deadline)
            _authenticate(self._transport, target, deadline)
        except BaseException:
            self._transport.close()
            raise
        _log.debug("%s: ssh login: %.1f ms", target.node, (time.perf_counter() - started) * 1000)

    @property
    def is_alive(self) -> bool:
        """Whether neither side has ended the connection; a silent peer is not noticed, see `answers`."""
        return bool(self._transport.is_active())

    def answers(self, timeout_s: float) -> bool:
        """Whether sshd answers a keep-alive in time; if not, the connection is closed."""
        # paramiko tells the answers to two requests apart by nothing.
        with self._asking:
            timer = threading.Timer(timeout_s, self._transport.close)
            timer.daemon = True
            timer.start()
            try:
                self._transport.global_request("keepalive@openssh.com", wait=True)
            except (paramiko.SSHException, OSError, EOFError):
                self._transport.close()
            finally:
                timer.cancel()
        return self.is_alive

    def open_socket(self, path: str, timeout_s: float) -> paramiko.Channel | None:
        """A channel to a unix socket on the node; None if nothing answers there."""
        return self._channel(
            lambda: self._transport.open_unix_channel(path, timeout_s),
            SSHFault(
                "ssh: sshd forwards no sockets",
                place=self.target.node,
                remedy="set 'AllowStreamLocalForwarding yes' in its sshd_config",
            ),
        )

    def open_port(self, address: tuple[str, int], timeout_s: float) -> paramiko.Channel | None:
        """A channel to a host and port as the node sees them (RFC 4254, section 7.2); None if nothing answers there."""
        return self._channel(
            # The last address is that of whoever connects, which is nobody's business.
            lambda: self._transport.open_channel("direct-tcpip", address, ("127.0.0.1", 0), timeout=timeout_s),
            SSHFault(
                "ssh: sshd forwards no ports",
                place=self.target.node,
                remedy="set 'AllowTcpForwarding yes' in its sshd_config",
            ),
        )

    def _channel(self, open_it: Callable[[], paramiko.Channel], prohibited: SSHFault) -> paramiko.Channel | None:
        try:
            return open_it()
        except paramiko.ChannelException as error:
            if error.code == _PROHIBITED:
                raise prohibited from error
            return None
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise LinkLost("the connection was lost", place=self.target.node) from error

    def run(self, argv: Sequence[str], timeout_s: float) -> Completed:
        """Run a command on the node and wait for its end; no part of it is read by a shell."""
        started = time.perf_counter()
        command = shlex.join(argv)
        try:
            with self._transport.open_session(timeout=timeout_s) as channel:
                channel.settimeout(timeout_s)
                channel.exec_command(command)
                channel.shutdown_write()
                # No sshd of ours sends more than a few lines here; both streams fit their windows.
                err = channel.makefile_stderr("rb").read()
                out = channel.makefile("rb").read()
                status = channel.recv_exit_status()
        except TimeoutError as error:
            raise SSHFault(f"{argv[0]!r} did not end in {timeout_s:g} s", place=self.target.node) from error
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise LinkLost("the connection was lost", place=self.target.node) from error
        _log.debug("%s: %s: %.1f ms", self.target.node, command, (time.perf_counter() - started) * 1000)
        return Completed(status, out.decode(errors="replace"), err.decode(errors="replace"))

    def start(self, argv: Sequence[str]) -> RemoteProcess:
        """Start a command on the node, both of its output streams in one."""
        try:
            channel = self._transport.open_session(timeout=_START_TIMEOUT_S)
            channel.set_combine_stderr(True)
            channel.exec_command(shlex.join(argv))
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise LinkLost("the connection was lost", place=self.target.node) from error
        return RemoteProcess(channel, lambda: self.answers(_SILENT_S))

    def close(self) -> None:
        """End the connection; what waits on it ends at once."""
        self._transport.close()


# RFC 4254, section 5.1: SSH_OPEN_ADMINISTRATIVELY_PROHIBITED.
_PROHIBITED = 1
# How much too early paramiko's timers may go off.
_TIMERS_S = 0.2


def _handshake(transport: _Transport, target: Target, deadline: float) -> None:
    """Exchange keys, and check the host key before anything is told to the other side."""
    listed, known = _known(target)
    # As ssh does: ask first for the kinds of key that we know of this host, or it would show another one.
    preferred = [kind for key in known if not key.marker for kind in _signatures(key.kind)]
    offered = transport.get_security_options()
    offered.key_types = list(dict.fromkeys([k for k in preferred if k in offered.key_types] + list(offered.key_types)))
    left = max(0.1, deadline - time.monotonic())
    transport.banner_timeout = transport.handshake_timeout = left
    try:
        transport.start_client(timeout=left)
        # start_client returns at its time limit as if all were well; without a session this raises.
        shown = transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError) as error:
        # paramiko says the same of an sshd that keeps silent and of one that hangs up: time tells.
        if time.monotonic() >= deadline - _TIMERS_S:
            raise SSHSilent("ssh: not answering", place=target.node, remedy=SSHD_HANGS) from error
        if "banner" in str(error):
            raise SSHSilent("ssh: connection closed at once", place=target.node, remedy=_see(target)) from error
        raise SSHFault(f"ssh: {error}", place=target.node, remedy=_see(target)) from error
    _check_host_key(shown, known, target, listed)


def _known(target: Target) -> tuple[str, list[KnownKey]]:
    """The lines of known_hosts about a node, and the name in them, as ssh looks for it: the alias, or the address.

    The name in mclu.conf comes last: under it stands a node whose address mclu.conf alone knows. Without any line for
    the node's port, those for port 22 are returned with no name: as for ssh, they may vouch for a key, but not
    against one.
    """
    if target.host_key_name:
        # ssh adds no port to an alias.
        return target.host_key_name, known_keys(target.known_hosts, target.host_key_name, 22)
    for name in (target.host, target.node):
        if known := known_keys(target.known_hosts, name, target.port):
            return listed_name(name, target.port), known
    return "", [line for name in (target.host, target.node) for line in known_keys(target.known_hosts, name, 22)]


def _signatures(kind: str) -> list[str]:
    """The signature algorithms of a kind of key (RFC 8332 for RSA)."""
    return ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]


def _check_host_key(shown: paramiko.PKey, known: list[KnownKey], target: Target, listed: str) -> None:
    same = [line for line in known if (line.kind, line.key) == (shown.get_name(), shown.get_base64())]
    revoked = [line for line in same if line.marker == "@revoked"]
    plain = [line for line in known if not line.marker]
    if revoked:
        raise SSHFault(
            "ssh: this host key is revoked",
            place=target.node,
            remedy=f"{revoked[0].place} says so; do not trust it",
        )
    if any(not line.marker for line in same):
        return
    if listed and any(line.kind == shown.get_name() for line in plain):
        raise SSHFault(
            "ssh: host key has CHANGED",
            place=target.node,
            remedy="somebody may be listening in; if the node was installed anew: "
            f"ssh-keygen -R {shlex.quote(listed)}, then '{target.login}' (known key: {plain[0].place})",
        )
    raise HostKeyUnknown(
        "ssh: host key not known",
        place=target.node,
        remedy=f"run '{target.login}' once to check its key {shown.fingerprint} and keep it",
    )


def _authenticate(transport: _Transport, target: Target, deadline: float) -> None:
    """Log in with the agent's keys, then with the key files, as ssh would."""
    locked: list[Path] = []
    for key in _keys(target, locked):
        transport.auth_timeout = max(0.1, deadline - time.monotonic())
        try:
            transport.auth_publickey(target.user, key)
        except paramiko.BadAuthenticationType:
            break
        except paramiko.AuthenticationException as error:
            if "timeout" in str(error).lower():
                raise SSHFault("ssh: login not answered", place=target.node, remedy=_see(target)) from error
            if not transport.is_active():
                break
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise LinkLost("ssh: connection lost during login", place=target.node, remedy=_see(target)) from error
        else:
            return
    remedy = f"ssh-add {locked[0]} (it has a passphrase)" if locked else _see(target)
    raise SSHFault(f"ssh: permission denied for {target.user}", place=target.node, remedy=remedy)


def _see(target: Target) -> str:
    return f"see what '{target.login}' says"


def _keys(target: Target, locked: list[Path]) -> Iterator[paramiko.PKey]:
    """The keys to offer, best first; files that need a passphrase are noted in `locked`."""
    own = [key for file in target.identities if (key := _load(file, locked)) is not None]
    wanted = {key.asbytes() for key in own} | {blob for file in target.identities if (blob := _public(file))}
    held: list[paramiko.PKey] = list(_agent_keys(target.agent)) if target.agent else []
    yield from (key for key in held if key.asbytes() in wanted)
    if not target.identities_only:
        yield from (key for key in held if key.asbytes() not in wanted)
    yield from own


def _agent_keys(path: str) -> tuple[paramiko.PKey, ...]:
    """The keys of the agent that listens on `path`; none if it does not answer."""
    agent = AgentSSH()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(2.0)
        connection.connect(path)
        agent._connect(connection)  # type: ignore[attr-defined]  # noqa: SLF001  (paramiko.Agent itself knows only $SSH_AUTH_SOCK)
    except (OSError, paramiko.SSHException):
        connection.close()
        return ()
    return tuple(agent.get_keys())


@lru_cache(maxsize=64)
def _read_key(file: Path, _stamp: int) -> paramiko.PKey:
    """Parse a key file once for all nodes, for as long as it stays the same."""
    return paramiko.PKey.from_path(file)


def _load(file: Path, locked: list[Path]) -> paramiko.PKey | None:
    try:
        return _read_key(file, file.stat().st_mtime_ns)
    except (paramiko.PasswordRequiredException, TypeError):
        # cryptography, which parses the file for paramiko, reports a missing passphrase as a TypeError.
        locked.append(file)
    except (OSError, ValueError, paramiko.SSHException, UnknownKeyType) as error:
        _log.debug("%s: not used: %s", file, error)
    return None


def _public(file: Path) -> bytes:
    """The public half beside a key file, by which a key that only the agent holds is recognised."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return base64.b64decode(file.with_name(file.name + ".pub").read_text(encoding="utf-8").split()[1])
    return b""
