import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mclu_shell.cloud.transport.forward import Forward, PortForward
from mclu_shell.errors import ConnectionLost


@pytest.fixture
def directory(short_directory: Path) -> Path:
    return short_directory


@pytest.fixture
def server(directory: Path) -> Iterator[socket.socket]:
    """What a node's libvirtd is for the forward: a listening unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.settimeout(5)
        listener.bind(str(directory / "far"))
        listener.listen()
        yield listener


@pytest.fixture
def forward(directory: Path, server: socket.socket) -> Iterator[Forward]:
    made = Forward(directory / "near", lambda: connect(directory / "far"))
    yield made
    made.close()


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


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.005)
    return condition()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_it_carries_both_ways(forward: Forward, server: socket.socket) -> None:
    near, far = ends(forward, server)
    with near, far:
        near.sendall(b"to the node")
        assert far.recv(100) == b"to the node"
        far.sendall(b"from the node")
        assert near.recv(100) == b"from the node"


def test_much_is_carried_whole(forward: Forward, server: socket.socket) -> None:
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


def test_only_its_owner_may_use_it(forward: Forward) -> None:
    assert stat.S_IMODE(forward.path.stat().st_mode) == 0o600


def test_the_end_of_the_near_side_ends_the_far_one(forward: Forward, server: socket.socket) -> None:
    near, far = ends(forward, server)
    with far:
        near.close()
        assert far.recv(100) == b""


def test_the_end_of_the_far_side_ends_the_near_one(forward: Forward, server: socket.socket) -> None:
    near, far = ends(forward, server)
    with near:
        far.close()
        assert near.recv(100) == b""


def test_cutting_ends_what_is_blocked_at_once_and_new_connections_can_be_made(
    forward: Forward, server: socket.socket
) -> None:
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
def test_where_the_far_side_cannot_be_reached_the_near_one_is_told_so(directory: Path, error: Exception) -> None:
    def refuse() -> socket.socket:
        raise error

    forward = Forward(directory / "near", refuse)
    with connect(forward.path) as near:
        near.settimeout(5)
        assert near.recv(100) == b""
    forward.close()


def test_after_closing_nothing_is_left(directory: Path, server: socket.socket) -> None:
    # What earlier tests have left may end meanwhile.
    threads, before = set(threading.enumerate()), descriptors()
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
    assert eventually(lambda: descriptors() <= before)
    with pytest.raises(FileNotFoundError):
        connect(forward.path)


def test_closing_twice_is_harmless(forward: Forward) -> None:
    forward.close()
    forward.close()


def test_a_port_leads_there_for_our_own_user(directory: Path, server: socket.socket) -> None:
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_port_leads_nowhere_for_other_users(directory: Path, server: socket.socket) -> None:
    forward = PortForward(lambda: connect(directory / "far"))
    # An interpreter of its own: the tests' may be where nobody but its owner can look.
    port = forward.address[1]
    done = subprocess.run(
        ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port} && cat <&3"], user=65534, timeout=5, check=False
    )
    assert done.returncode == 0
    assert not forward.was_used.is_set()
    forward.close()
