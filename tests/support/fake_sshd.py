"""An sshd that misbehaves: a server of paramiko on loopback, and a target for a login to it."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from mclu_shell.cloud.transport.openssh.config import Algorithms, Target
from tests.support.ssh_target import make_target

Work = Callable[[paramiko.Channel], None]


class _Server(paramiko.ServerInterface):
    """Accepts every login, command and forward; `work` runs with the channel of each command and forward."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._forwards: set[int] = set()

    def check_auth_publickey(self, _username: str, _key: paramiko.PKey) -> int:
        return int(AUTH_SUCCESSFUL)

    def get_allowed_auths(self, _username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if kind != "session":
            self._forwards.add(chanid)
        return int(OPEN_SUCCEEDED)

    def check_channel_direct_tcpip_request(self, chanid: int, _origin: object, _destination: object) -> int:
        return self.check_channel_request("direct-tcpip", chanid)

    def check_channel_exec_request(self, channel: paramiko.Channel, _command: bytes) -> bool:
        self._start(channel)
        return True

    def serve(self, transport: paramiko.Transport) -> None:
        while (channel := transport.accept(30)) is not None:
            if channel.get_id() in self._forwards:
                self._start(channel)

    def _start(self, channel: paramiko.Channel) -> None:
        threading.Thread(target=self._run, args=(channel,), daemon=True).start()

    def _run(self, channel: paramiko.Channel) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._work(channel)


@contextlib.contextmanager
def fake_sshd(directory: Path, work: Work) -> Iterator[Target]:
    """Listen for one connection, and yield the target of a login to it."""
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(directory / "key"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (directory / "known_hosts").write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
        threading.Thread(target=_serve, args=(listener, key, work), daemon=True).start()
        yield _target(directory, port)


def _serve(listener: socket.socket, key: paramiko.PKey, work: Work) -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        connection, _ = listener.accept()
        transport = paramiko.Transport(connection)
        transport.add_server_key(key)
        server = _Server(work)
        transport.start_server(server=server)
        server.serve(transport)


def _target(directory: Path, port: int) -> Target:
    with socket.socket() as unused:
        options = paramiko.Transport(unused).get_security_options()
        keys = tuple(options.key_types)
        algorithms = Algorithms(tuple(options.ciphers), tuple(options.kex), tuple(options.digests), keys, keys, 1024)
    return make_target(port=port)._replace(
        identities=(directory / "key",), known_hosts=(directory / "known_hosts",), algorithms=algorithms
    )


def flood(channel: paramiko.Channel, *, stderr: bool = False) -> None:
    """Send data for as long as the client's window has room."""
    send = channel.sendall_stderr if stderr else channel.sendall
    while True:
        send(b"x" * 30000)


def ignore_window(channel: paramiko.Channel) -> None:
    """Send data however small the client's window is."""
    channel.out_window_size = 1 << 60
    flood(channel)
