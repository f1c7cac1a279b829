"""The user's terminal while something else has it: carried byte by byte, and always given back as it was."""

import contextlib
import fcntl
import os
import select
import socket
import struct
import termios
import tty
from collections.abc import Callable, Iterator
from typing import TextIO

# ^], by which one leaves (as telnet and virsh have it).
_ESCAPE = b"\x1d"
_CHUNK = 65536
# Python looks for signals before it begins to wait: for one that comes in between, it has to look again.
_LOOK_FOR_SIGNALS_MS = 500

Tee = Callable[[bytes], object]


class Terminal:
    """Where the user types and reads, or the streams that stand in for a terminal."""

    def __init__(self, given: TextIO, out: TextIO, err: TextIO, typed_ahead: Callable[[], bytes] | None = None) -> None:
        """`typed_ahead` takes what the prompt has read too much; without it there is no prompt."""
        self._given, self._out, self._err = given, out, err
        self._typed_ahead = typed_ahead

    @property
    def is_prompt(self) -> bool:
        """Whether the user goes on at a prompt, so that what has a window of its own need not be waited for."""
        return self._typed_ahead is not None

    @property
    def is_typed(self) -> bool:
        """Whether somebody types, rather than a file or a pipe."""
        return self._given.isatty()

    def say(self, text: str) -> None:
        """A line for the user, beside the answer."""
        with contextlib.suppress(OSError):
            self._err.write(text + "\n")
            self._err.flush()

    def carry(self, far: socket.socket, tee: Tee | None = None) -> bool:
        """Carry what is typed to `far` and what it says back, also to `tee`, until either ends.

        Returns whether the user has left with ^]. Where nobody types, ^] is a byte like any other, and the end of
        the input ends nothing: what `far` says may be the answer to it.
        """
        self._out.flush()
        with self._raw():
            carrier = _Relay(self._given.fileno(), self._out.fileno(), far, tee, escapes=self.is_typed)
            return carrier.begin(self._ahead()) or carrier.run()

    @contextlib.contextmanager
    def _raw(self) -> Iterator[None]:
        """Every key as it is, also ^C; nothing that was typed before or after is lost by the change."""
        if not self.is_typed:
            yield
            return
        descriptor = self._given.fileno()
        before = termios.tcgetattr(descriptor)
        try:
            tty.setraw(descriptor, termios.TCSANOW)
            yield
        finally:
            # Where the terminal has gone (SIGHUP), there is nothing to give back.
            with contextlib.suppress(termios.error):
                termios.tcsetattr(descriptor, termios.TCSANOW, before)

    def _ahead(self) -> bytes:
        """What was typed before the terminal was raw: what the prompt read too much, and what the kernel kept."""
        if not self.is_typed:
            return b""
        (waiting,) = struct.unpack("i", fcntl.ioctl(self._given, termios.FIONREAD, bytes(4)))
        kept = os.read(self._given.fileno(), waiting) if waiting else b""
        # Until then, the terminal made newlines of the Enter key.
        return (self._typed_ahead() if self._typed_ahead else b"") + kept.replace(b"\n", b"\r")


class _Relay:
    """The two ways, and what is under way on them."""

    def __init__(self, given: int, out: int, far: socket.socket, tee: Tee | None, *, escapes: bool) -> None:
        self._given, self._out, self._far, self._tee = given, out, far, tee
        self._escapes = escapes
        self._is_at_end = False
        self._unsent = bytearray()
        far.setblocking(False)

    def begin(self, ahead: bytes) -> bool:
        """Take what was typed ahead; whether the user has left already."""
        typed, escape, _ = ahead.partition(_ESCAPE) if self._escapes else (ahead, b"", b"")
        self._unsent += typed
        if escape:
            self._send()
        return bool(escape)

    def run(self) -> bool:
        """Carry both ways; True when the user leaves, False when the far side ends."""
        far, given = self._far.fileno(), self._given
        while True:
            ready = self._poll()
            if ready.get(far, 0) & ~select.POLLOUT and not self._hear():
                return False
            if ready.get(given, 0) and self._type():
                return True
            if ready.get(self._out, 0) & select.POLLERR:
                # Whoever reads what the far side says has left; a far side that is quiet would never tell.
                raise BrokenPipeError
            self._send()

    def _poll(self) -> dict[int, int]:
        """Wait until something can be done; what, by descriptor."""
        events = {self._out: 0, self._far.fileno(): select.POLLIN | (select.POLLOUT if self._unsent else 0)}
        if not self._is_at_end and len(self._unsent) < _CHUNK:
            # A terminal may be the same descriptor as the output.
            events[self._given] = select.POLLIN
        # Not select, which knows no descriptor above 1023.
        poll = select.poll()
        for descriptor, wanted in events.items():
            poll.register(descriptor, wanted)
        return dict(poll.poll(_LOOK_FOR_SIGNALS_MS))

    def _hear(self) -> bool:
        """Show what the far side says; False at its end."""
        try:
            data = self._far.recv(_CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if self._tee is not None:
            self._tee(data)
        left = memoryview(data)
        while left:
            left = left[os.write(self._out, left) :]
        return bool(data)

    def _type(self) -> bool:
        """Take what is typed; whether the user leaves with it."""
        try:
            # One by one: what follows ^] is meant for whoever reads the terminal next.
            data = os.read(self._given, 1 if self._escapes else _CHUNK)
        except OSError:
            # The terminal has gone.
            data = b""
        self._is_at_end = not data
        if self._escapes and data in (_ESCAPE, b""):
            return True
        self._unsent += data
        return False

    def _send(self) -> None:
        # The end of the far side is noticed where it is received from.
        with contextlib.suppress(OSError):
            if self._unsent:
                del self._unsent[: self._far.send(self._unsent)]
