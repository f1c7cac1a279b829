import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mclu_shell.cloud.transport.forward import Forward, PortForward
from mclu_shell.errors import ConnectionLost
from tests.support.processes import count_descriptors
from tests.support.waiting import eventually


@pytest.fixture
def directory(short_directory: Path) -> Path:
    return short_directory


@pytest.fixture
def server(directory: Path) -> Iterator[socket.socket]:
    """A listening unix socket in place of a node's libvirtd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.settimeout(5)
        listener.bind(str(directory / "far"))
        listener.listen()
        yield listener


@pytest.fixture
def forward(directory: Path, server: socket.socket) -> Iterator[Forward]:
    forward = Forward(directory / "near", lambda: connect(directory / "far"))
    yield forward
    forward.close()


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(path))
    return connection


def ends(forward: Forward, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Return both ends of a new connection."""
    near = connect(forward.path)
    far, _ = server.accept()
    for end in (near, far):
        end.settimeout(5)
    return near, far


def test_data_is_forwarded_in_both_directions(forward: Forward, server: socket.socket) -> None:
    near, far = ends(forward, server)
    with near, far:
        near.sendall(b"to the node")
        assert far.recv(100) == b"to the node"
        far.sendall(b"from the node")
        assert near.recv(100) == b"from the node"


def test_a_large_transfer_is_complete(forward: Forward, server: socket.socket) -> None:
    near, far = ends(forward, server)
    data = os.urandom(3 << 20)
    with near, far:
        threading.Thread(target=near.sendall, args=(data,), daemon=True).start()
        got = b""
        while len(got) < len(data):
            got += far.recv(1 << 20)
    assert got == data


def test_connections_do_not_mix(forward: Forward, server: socket.socket) -> None:
    pairs = [ends(forward, server) for _ in range(5)]
    for number, (near, _) in enumerate(pairs):
        near.sendall(str(number).encode())
    for number, (near, far) in enumerate(pairs):
        assert far.recv(100) == str(number).encode()
        near.close()
        far.close()


def test_only_the_owner_can_connect(forward: Forward) -> None:
    assert stat.S_IMODE(forward.path.stat().st_mode) == 0o600


def test_closing_the_near_end_closes_the_far_end(forward: Forward, server: socket.socket) -> None:
    near, far = ends(forward, server)
    with far:
        near.close()
        assert far.recv(100) == b""


def test_closing_the_far_end_closes_the_near_end(forward: Forward, server: socket.socket) -> None:
    near, far = ends(forward, server)
    with near:
        far.close()
        assert near.recv(100) == b""


def test_cut_ends_blocked_calls_and_accepts_new_connections(forward: Forward, server: socket.socket) -> None:
    near, far = ends(forward, server)
    with near, far:
        got: list[bytes] = []
        blocked = threading.Thread(target=lambda: got.append(near.recv(100)), daemon=True)
        blocked.start()
        forward.cut()
        blocked.join(5)
        assert got == [b""]
        assert far.recv(100) == b""
    near, far = ends(forward, server)
    with near, far:
        near.sendall(b"again")
        assert far.recv(100) == b"again"


@pytest.mark.parametrize("error", [ConnectionRefusedError(), EOFError(), ConnectionLost("the connection was lost")])
def test_the_near_end_is_closed_if_the_far_end_cannot_be_reached(directory: Path, error: Exception) -> None:
    def refuse() -> socket.socket:
        raise error

    forward = Forward(directory / "near", refuse)
    with connect(forward.path) as near:
        near.settimeout(5)
        assert near.recv(100) == b""
    forward.close()


def test_close_leaves_no_thread_descriptor_or_file(directory: Path, server: socket.socket) -> None:
    # Threads of earlier tests may still close descriptors.
    threads, before = set(threading.enumerate()), count_descriptors()
    forward = Forward(directory / "near", lambda: connect(directory / "far"))
    open_pairs = [ends(forward, server) for _ in range(3)]
    gone, far = ends(forward, server)
    gone.close()
    far.close()
    forward.close()
    assert not forward.path.exists()
    for near, far in open_pairs:
        assert near.recv(100) == far.recv(100) == b""
        near.close()
        far.close()
    assert eventually(lambda: set(threading.enumerate()) <= threads), threading.enumerate()
    assert eventually(lambda: count_descriptors() <= before)
    with pytest.raises(FileNotFoundError):
        connect(forward.path)


def test_closing_twice_is_harmless(forward: Forward) -> None:
    forward.close()
    forward.close()


def test_a_port_forwards_connections_of_the_same_user(directory: Path, server: socket.socket) -> None:
    forward = PortForward(lambda: connect(directory / "far"))
    try:
        with socket.create_connection(forward.address) as near:
            near.settimeout(5)
            far, _ = server.accept()
            with far:
                near.send(b"ping")
                assert far.recv(4) == b"ping"
                far.send(b"pong")
                assert near.recv(4) == b"pong"
        assert forward.was_used.is_set()
    finally:
        forward.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(forward.address)


# Connects to a port and sends keys; the connection is closed at once, reset at once, or kept open for a moment.
FLOOD = """
import os, socket, struct, sys, time
for number in range(int(sys.argv[2])):
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    if number % 3 == 1:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        connection.send(b"keys")
        number % 3 == 2 and time.sleep(0.001)
    except OSError:
        pass
    connection.close()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_port_admits_no_connection_of_a_flood_of_another_user(directory: Path, server: socket.socket) -> None:
    forward = PortForward(lambda: connect(directory / "far"))
    flood = subprocess.Popen(["/usr/bin/python3", "-c", FLOOD, str(forward.address[1]), "60"], user=2, cwd="/")
    # The user's own connections work at the same time.
    while flood.poll() is None:
        with socket.create_connection(forward.address) as near, server.accept()[0] as far:
            far.settimeout(5)
            near.send(b"mine")
            assert far.recv(4) == b"mine"
    assert flood.returncode == 0
    server.settimeout(0.2)
    with pytest.raises(TimeoutError):
        server.accept()
    forward.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_port_closes_connections_of_other_users(directory: Path, server: socket.socket) -> None:
    forward = PortForward(lambda: connect(directory / "far"))
    # The other user may be unable to read the directory of the tests' interpreter.
    port = forward.address[1]
    done = subprocess.run(
        ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port} && cat <&3"], user=65534, timeout=5, check=False
    )
    assert done.returncode == 0
    assert not forward.was_used.is_set()
    forward.close()


def test_a_far_end_with_a_limit_cannot_send_faster(forward: Forward, server: socket.socket) -> None:
    forward.bytes_per_s = 1 << 20
    near, far = ends(forward, server)
    with near, far:
        threading.Thread(target=far.sendall, args=(b"x" * (1 << 19),), daemon=True).start()
        started, left = time.monotonic(), 1 << 19
        while left:
            left -= len(near.recv(1 << 16))
        # The last chunk of 64 KiB is forwarded after its own delay.
        assert time.monotonic() - started > 0.4
