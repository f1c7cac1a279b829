"""Peers that break a limit lose the connection; paramiko's own server is the peer."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import paramiko
import pytest
from paramiko.common import (
    AUTH_SUCCESSFUL,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_IGNORE,
    OPEN_SUCCEEDED,
    byte_chr,
)

from mclu_shell.cloud.transport.paramiko_ssh.limits import LONGEST_GREETING, LONGEST_PACKET, LimitedTransport

TIMEOUT_S = 20


class _Server(paramiko.ServerInterface):
    def check_auth_none(self, username: str) -> int:
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def peers(pair: tuple[socket.socket, socket.socket]) -> Iterator[tuple[LimitedTransport, paramiko.Transport]]:
    """A client that has logged in, and its server."""
    server = paramiko.Transport(pair[1])
    server.add_server_key(paramiko.RSAKey.generate(2048))
    client = LimitedTransport(pair[0])
    with contextlib.closing(server), contextlib.closing(client):
        threading.Thread(target=server.start_server, kwargs={"server": _Server()}, daemon=True).start()
        client.start_client(timeout=TIMEOUT_S)
        client.auth_none("x")
        yield client, server


def _data(channel: paramiko.Channel, kind: int, data: bytes) -> paramiko.Message:
    message = paramiko.Message()
    message.add_byte(byte_chr(kind))
    message.add_int(channel.remote_chanid)
    if kind == MSG_CHANNEL_EXTENDED_DATA:
        message.add_int(1)
    message.add_string(data)
    return message


@pytest.mark.parametrize("kind", [MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA])
def test_data_beyond_the_window_of_a_channel_ends_the_connection(
    peers: tuple[LimitedTransport, paramiko.Transport], kind: int
) -> None:
    client, server = peers
    ours = client.open_session(timeout=TIMEOUT_S)
    theirs = server.accept(TIMEOUT_S)
    assert theirs is not None
    for _ in range(ours.in_window_size // 32768):
        server._send_user_message(_data(theirs, kind, bytes(32768)))  # type: ignore[attr-defined]  # noqa: SLF001
    # The window is full, and no more.
    other = client.open_session(timeout=TIMEOUT_S)
    server._send_user_message(_data(theirs, kind, b"x"))  # type: ignore[attr-defined]  # noqa: SLF001
    client.join(TIMEOUT_S)
    assert not client.is_active()
    assert ours.closed
    assert other.closed


def test_a_packet_that_is_too_long_ends_the_connection(peers: tuple[LimitedTransport, paramiko.Transport]) -> None:
    client, server = peers
    message = paramiko.Message()
    message.add_byte(byte_chr(MSG_IGNORE))
    message.add_string(bytes(LONGEST_PACKET * 3 // 4))
    server._send_user_message(message)  # type: ignore[attr-defined]  # noqa: SLF001
    assert client.open_session(timeout=TIMEOUT_S).active
    message.add_string(bytes(LONGEST_PACKET // 2))
    server._send_user_message(message)  # type: ignore[attr-defined]  # noqa: SLF001
    client.join(TIMEOUT_S)
    assert not client.is_active()


@pytest.mark.parametrize("greeting", [b"x", b"\n"], ids=["one line", "many lines"])
def test_lines_without_end_before_the_version_end_the_login(
    pair: tuple[socket.socket, socket.socket], greeting: bytes
) -> None:
    sent = 0

    def flood() -> None:
        nonlocal sent
        with contextlib.suppress(OSError):
            while True:
                sent += pair[1].send(greeting * 65536)

    client = LimitedTransport(pair[0])
    threading.Thread(target=flood, daemon=True).start()
    with pytest.raises(paramiko.SSHException):
        client.start_client(timeout=TIMEOUT_S)
    client.close()
    pair[0].close()
    # Besides those in the buffers of the socket.
    assert sent < LONGEST_GREETING + (1 << 20)


def test_the_length_of_the_first_packet_is_limited(pair: tuple[socket.socket, socket.socket]) -> None:
    client = LimitedTransport(pair[0])
    pair[1].sendall(b"SSH-2.0-x\r\n" + struct.pack(">IB", 0x7FFFFFF8, 4) + bytes(11))
    with pytest.raises(paramiko.SSHException):
        client.start_client(timeout=TIMEOUT_S)
