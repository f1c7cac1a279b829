"""An attached terminal: a real pseudo-terminal, and a socket as the guest."""

import io
import os
import socket
import termios
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import pytest

from mclu_shell.terminal.relay import Terminal

LIMIT_S = 10.0


@dataclass
class Far:
    """A pseudo-terminal's other end, the guest's end of the socket, and the result of `relay`."""

    keyboard: int
    guest: socket.socket
    slave: TextIO
    carried: socket.socket
    result: list[object]
    # Streams that replace the terminal.
    given: TextIO | None = None
    out: TextIO | None = None

    @property
    def settings(self) -> list[object]:
        return termios.tcgetattr(self.slave)

    def relay(self, ahead: Callable[[], bytes] | None = None, tee: Callable[[bytes], object] | None = None) -> None:
        """Attach the terminal, and add the return value or the error to `result`."""
        terminal = Terminal(self.given or self.slave, self.out or self.slave, io.StringIO(), ahead)
        try:
            self.result.append(terminal.relay(self.carried, tee))
        except BaseException as error:  # noqa: BLE001 – the test checks its type.
            self.result.append(error)

    def hear(self, count: int) -> bytes:
        """Return `count` bytes that the guest has received."""
        got = b""
        while len(got) < count:
            got += self.guest.recv(count - len(got))
        return got

    def read(self, count: int) -> bytes:
        """Return `count` bytes of the screen."""
        got = b""
        while len(got) < count:
            got += os.read(self.keyboard, count - len(got))
        return got


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    # No control sequences of mclu's own.
    monkeypatch.setenv("TERM", "dumb")
    master, slave = os.openpty()
    ours, theirs = socket.socketpair()
    theirs.settimeout(LIMIT_S)
    with os.fdopen(slave, "r+b", buffering=0) as raw, io.TextIOWrapper(raw) as text, ours, theirs:
        yield Far(master, theirs, text, ours, [])
    os.close(master)


def in_thread(far: Far, *args: object) -> threading.Thread:
    thread = threading.Thread(target=far.relay, args=args, daemon=True)
    thread.start()
    return thread


def test_keys_go_to_the_guest_and_its_output_to_the_screen_unchanged(far: Far) -> None:
    before = far.settings
    thread = in_thread(far)
    far.guest.send(b"login: ")
    assert far.read(7) == b"login: "
    assert far.settings != before
    os.write(far.keyboard, b"a\x03\x1a\x04\r\n\x7f")
    assert far.hear(7) == b"a\x03\x1a\x04\r\n\x7f"
    # The terminal does not translate the guest's output either.
    far.guest.send(b"x\ny\r\n")
    assert far.read(5) == b"x\ny\r\n"
    os.write(far.keyboard, b"\x1d")
    thread.join(LIMIT_S)
    assert far.result == [True]
    assert far.settings == before


def test_input_after_the_escape_is_left_to_the_next_reader(far: Far) -> None:
    thread = in_thread(far)
    far.guest.send(b".")
    far.read(1)
    os.write(far.keyboard, b"ab\x1dcd\r")
    thread.join(LIMIT_S)
    assert far.result == [True]
    assert far.hear(2) == b"ab"
    assert os.read(far.slave.fileno(), 100) == b"cd\r"


def test_typeahead_is_sent_first_with_carriage_returns(far: Far) -> None:
    os.write(far.keyboard, b"kernel\rhalf")
    thread = in_thread(far, lambda: b"prompt\r")
    assert far.hear(18) == b"prompt\rkernel\rhalf"
    far.guest.close()
    thread.join(LIMIT_S)
    assert far.result == [False]


def test_an_escape_in_the_typeahead_detaches_at_once(far: Far) -> None:
    before = far.settings
    far.relay(lambda: b"ab\x1d")
    assert far.result == [True]
    assert far.hear(2) == b"ab"
    assert far.settings == before


def test_the_last_output_is_shown_when_the_guest_ends(far: Far) -> None:
    before = far.settings
    far.guest.send(b"halted")
    far.guest.close()
    far.relay()
    assert far.result == [False]
    assert far.read(6) == b"halted"
    assert far.settings == before


def test_the_terminal_is_restored_after_any_error(far: Far) -> None:
    before = far.settings
    message = OSError("the log is full")

    def fail(data: bytes) -> None:
        assert far.settings != before
        raise message

    far.guest.send(b"x")
    far.relay(None, fail)
    assert far.result == [message]
    assert far.settings == before


def test_a_closed_terminal_detaches(far: Far) -> None:
    thread = in_thread(far)
    far.guest.send(b".")
    far.read(1)
    # As when a window is closed: reading the terminal is an error from here on.
    os.dup2(os.open(os.devnull, os.O_RDONLY), far.keyboard)
    thread.join(LIMIT_S)
    assert far.result == [True]


def test_input_from_a_file_is_sent_unchanged_and_its_end_does_not_detach(far: Far, tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(b"root\x1d" * 40000)
    with (tmp_path / "given").open() as far.given, (tmp_path / "out").open("w") as far.out:
        thread = in_thread(far)
        assert far.hear(200000) == b"root\x1d" * 40000
        far.guest.send(b"bye")
        far.guest.close()
        thread.join(LIMIT_S)
    assert far.result == [False]
    assert (tmp_path / "out").read_bytes() == b"bye"


def test_a_closed_output_is_noticed_while_the_guest_is_silent(far: Far) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(os.devnull) as given, os.fdopen(writer, "w") as out:  # noqa: PTH123
        far.given, far.out = given, out
        in_thread(far).join(LIMIT_S)
        assert [type(result) for result in far.result] == [BrokenPipeError]


def test_the_terminal_is_reset_after_the_last_output(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    far.guest.send(b"\x1b]0;hostile\x07")
    far.guest.close()
    far.relay()
    shown = b""
    while not shown.endswith(b"\x1b[23;0t"):
        shown += os.read(far.keyboard, 1000)
    assert shown.startswith(b"\x1b[22;0t\x1b]0;hostile\x07\x18")
