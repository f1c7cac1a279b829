import socket
import threading
import time

from mclu_shell.cloud.transport.keepalive import PING, PONG, KeepaliveResponder, LastMessage


def test_pings_are_answered_and_not_forwarded() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        last_message = LastMessage()
        responder = KeepaliveResponder(ours, last_message)
        theirs.sendall(PING)
        theirs.settimeout(5)
        received: list[bytes] = []
        reading = threading.Thread(target=lambda: received.append(responder.recv(100)))
        reading.start()
        assert theirs.recv(100) == PONG
        assert time.monotonic() - last_message.at < 5
        theirs.sendall(b"an answer")
        reading.join(5)
        assert received == [b"an answer"]


def test_data_that_begins_like_a_ping_is_forwarded() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(PING + b"more")
        assert KeepaliveResponder(ours, LastMessage()).recv(100) == PING + b"more"


def test_messages_have_libvirts_format() -> None:
    """The bytes are from a capture of libvirt's own messages."""
    assert PING == b"\0\0\0\34keep\0\0\0\1\0\0\0\1\0\0\0\2\0\0\0\0\0\0\0\0"
    assert PONG == b"\0\0\0\34keep\0\0\0\1\0\0\0\2\0\0\0\2\0\0\0\0\0\0\0\0"
