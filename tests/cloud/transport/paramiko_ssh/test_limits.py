"""Floods of an sshd: each ends the connection or the command, soon and with little memory."""

import contextlib
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from mclu_shell.cloud.transport.dial import dial
from mclu_shell.cloud.transport.paramiko_ssh.client import ParamikoConnection
from mclu_shell.errors import NodeFault, SSHFault, TooMuchData
from tests.support.fake_sshd import Work, fake_sshd, flood, ignore_window
from tests.support.ssh_target import make_target
from tests.support.waiting import eventually

LIMIT_S = 10.0
MOST_BYTES = 32 << 20


@contextlib.contextmanager
def connected(directory: Path, work: Work) -> Iterator[ParamikoConnection]:
    """Log in to an sshd that does `work` with each channel; the block must take little memory."""
    tracemalloc.start()
    try:
        with fake_sshd(directory, work) as target:
            connection = ParamikoConnection(target, dial(target, 2.0), time.monotonic() + LIMIT_S)
            # The buffers for reading local files are large, but mostly unused.
            tracemalloc.reset_peak()
            try:
                yield connection
            finally:
                connection.close()
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


def ignore_messages(channel: paramiko.Channel) -> None:
    while True:
        channel.get_transport().send_ignore(20_000)


def send_debug_messages(channel: paramiko.Channel) -> None:
    # RFC 4253, section 11.3.
    message = paramiko.Message()
    message.add_byte(paramiko.common.cMSG_DEBUG)
    message.add_boolean(False)
    message.add_string("x" * 20_000)
    message.add_string("")
    while True:
        channel.get_transport()._send_message(message)  # type: ignore[attr-defined]  # noqa: SLF001


def send_long_packet(channel: paramiko.Channel) -> None:
    channel.get_transport().send_ignore(400_000)


@pytest.mark.parametrize("work", [ignore_window, ignore_messages, send_debug_messages, send_long_packet])
def test_an_excess_ends_the_connection_although_nothing_is_read(tmp_path: Path, work: Work) -> None:
    with connected(tmp_path, work) as connection:
        channel = connection.open_channel("/run/libvirt/libvirt-sock", LIMIT_S)
        assert channel is not None
        assert eventually(lambda: not connection.is_alive, LIMIT_S)
        with pytest.raises(TooMuchData, match="ssh: sshd sent "):
            connection.run(["true"], LIMIT_S)


def test_data_within_the_window_arrives_complete(tmp_path: Path) -> None:
    def send(channel: paramiko.Channel) -> None:
        channel.sendall(b"x" * (8 << 20))
        channel.close()

    with connected(tmp_path, send) as connection:
        channel = connection.open_channel(("127.0.0.1", 1), LIMIT_S)
        assert channel is not None
        # The window is full before the first read.
        assert eventually(lambda: len(channel.in_buffer) >= channel.in_window_size - 32768)
        assert sum(map(len, iter(lambda: channel.recv(65536), b""))) == 8 << 20


@pytest.mark.parametrize("stderr", [False, True])
def test_a_command_with_endless_output_ends_with_an_error(tmp_path: Path, *, stderr: bool) -> None:
    with connected(tmp_path, lambda channel: flood(channel, stderr=stderr)) as connection:
        with pytest.raises(TooMuchData, match="'true' sent more than 4096 KiB"):
            connection.run(["true"], LIMIT_S)
        with pytest.raises(TooMuchData, match="the login shell sent more than 256 KiB"):
            connection.start(["true"])
        assert connection.is_alive


def test_the_deadline_of_a_command_is_one_for_all_of_its_output(tmp_path: Path) -> None:
    ended = threading.Event()

    def dribble(channel: paramiko.Channel) -> None:
        while not ended.wait(0.05):
            channel.sendall(b"x")

    with connected(tmp_path, dribble) as connection:
        started = time.monotonic()
        with pytest.raises(SSHFault, match=r"'true' timed out after 0\.4 s"):
            connection.run(["true"], 0.4)
        assert time.monotonic() - started < 1.3
        ended.set()
        assert connection.is_alive


def test_a_command_ends_although_sshd_never_replies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr("tests.support.fake_sshd._Server.check_channel_exec_request", lambda *_: release.wait(LIMIT_S))
    with connected(tmp_path, flood) as connection:
        started = time.monotonic()
        with pytest.raises(NodeFault):
            connection.run(["true"], 0.3)
        assert time.monotonic() - started < 3
        release.set()


def test_endless_lines_before_the_greeting_end_the_login(tmp_path: Path) -> None:
    tracemalloc.start()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def send() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                while True:
                    connection.sendall(b"x" * 65536)

        threading.Thread(target=send, daemon=True).start()
        with fake_sshd(tmp_path, flood) as other:
            target = make_target(port=listener.getsockname()[1])._replace(algorithms=other.algorithms)
        with pytest.raises(SSHFault, match="sshd sent too many messages"):
            ParamikoConnection(target, dial(target, 2.0), time.monotonic() + LIMIT_S)
    assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    tracemalloc.stop()
