"""Detection of an sshd, with real sockets of this machine."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from mclu_shell.cloud.guests import ssh_banner as sshbanner
from mclu_shell.cloud.guests.ssh_banner import fetch_banner
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.transport.local import LocalTransport
from mclu_shell.config import NodeConfig


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as resources:
        yield resources


def banner_of(stack: ExitStack, monkeypatch: pytest.MonkeyPatch, *pieces: bytes, hangs_up: bool = True) -> str:
    """Return the banner of a server that sends this."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    monkeypatch.setattr(sshbanner, "_PORT", server.getsockname()[1])

    def serve() -> None:
        connection = stack.enter_context(server.accept()[0])
        # The client may have closed the connection after the banner.
        with suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
            if hangs_up:
                connection.shutdown(socket.SHUT_WR)

    threading.Thread(target=serve, daemon=True).start()
    config = NodeConfig("here", via="local")
    return fetch_banner(Node(config, LocalTransport(config, Path("unused"))), "127.0.0.1")


@pytest.mark.parametrize(
    ("pieces", "banner"),
    [
        ((b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",), "SSH-2.0-OpenSSH_9.2p1 Debian-2"),
        ((b"welcome\r\nSSH-2.0", b"-x\r\n"), "SSH-2.0-x"),
        ((b"220 mail ESMTP\r\n",), ""),
        ((b"SSH-2.0-half",), ""),
        ((b"x" * 10_000,), ""),
        ((), ""),
    ],
)
def test_the_identification_string_is_returned(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, pieces: tuple[bytes, ...], banner: str
) -> None:
    assert banner_of(stack, monkeypatch, *pieces) == banner


def test_a_silent_server_times_out(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sshbanner, "_TIMEOUT_S", 0.1)
    assert banner_of(stack, monkeypatch, hangs_up=False) == ""


def test_a_closed_port_has_no_banner(stack: ExitStack, monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    config = NodeConfig("here", via="local")
    monkeypatch.setattr(sshbanner, "_PORT", closed_port)
    assert fetch_banner(Node(config, LocalTransport(config, Path("unused"))), "127.0.0.1") == ""
