"""The user's terminal, attached to a guest's console in raw mode and always restored."""

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

from mclu_shell.terminal.reset import begin_foreign_output, end_foreign_output

# ^] detaches, as in telnet and virsh.
_ESCAPE = b"\x1d"
_CHUNK = 65536
# Python checks for signals before poll(2) begins to wait. One that arrives in between is handled after this time.
_SIGNAL_CHECK_MS = 500

Tee = Callable[[bytes], object]


class Terminal:
    """The user's terminal, or the streams that replace it."""

    def __init__(
        self, stdin: TextIO, out: TextIO, err: TextIO, take_typed_ahead: Callable[[], bytes] | None = None
    ) -> None:
        """`take_typed_ahead` returns the keys that the prompt has read ahead; None without a prompt."""
        self._stdin, self._out, self._err = stdin, out, err
        self._take_typed_ahead = take_typed_ahead

    @property
    def is_prompt(self) -> bool:
        """True in the interactive shell, which need not wait for a program with a window of its own."""
        return self._take_typed_ahead is not None

    @property
    def is_typed(self) -> bool:
        """True if the input is a terminal; False for a file or a pipe."""
        return self._stdin.isatty()

    def print(self, text: str) -> None:
        """Print a line on standard error."""
        with contextlib.suppress(OSError):
            self._err.write(text + "\n")
            self._err.flush()

    def relay(self, far: socket.socket, tee: Tee | None = None) -> bool:
        """Copy input to `far`, and its data to the output and to `tee`, until either side ends.

        Return True if the user has detached with ^]. If the input is not a terminal, ^] is an ordinary byte, and the
        end of the input ends nothing: `far` may still respond to it.
        """
        self._out.flush()
        with self._foreign_output(), self._raw():
            relay = _Relay(self._stdin.fileno(), self._out.fileno(), far, tee, escapes=self.is_typed)
            return relay.begin(self._typed_ahead()) or relay.run()

    @contextlib.contextmanager
    def _foreign_output(self) -> Iterator[None]:
        begin_foreign_output(self._out)
        try:
            yield
        finally:
            # A closed terminal (SIGHUP) cannot be written to.
            with contextlib.suppress(OSError):
                end_foreign_output(self._out)

    @contextlib.contextmanager
    def _raw(self) -> Iterator[None]:
        """Switch to raw mode, where ^C is a byte; no input before or after is lost (TCSANOW)."""
        if not self.is_typed:
            yield
            return
        descriptor = self._stdin.fileno()
        before = termios.tcgetattr(descriptor)
        try:
            tty.setraw(descriptor, termios.TCSANOW)
            yield
        finally:
            # A closed terminal (SIGHUP) has no modes.
            with contextlib.suppress(termios.error):
                termios.tcsetattr(descriptor, termios.TCSANOW, before)

    def _typed_ahead(self) -> bytes:
        """Return input from before raw mode: the keys that the prompt has read ahead, and the kernel's buffer."""
        if not self.is_typed:
            return b""
        (waiting,) = struct.unpack("i", fcntl.ioctl(self._stdin, termios.FIONREAD, bytes(4)))
        buffered = os.read(self._stdin.fileno(), waiting) if waiting else b""
        # Before raw mode, the terminal translated Enter to a newline (ICRNL).
        return (self._take_typed_ahead() if self._take_typed_ahead else b"") + buffered.replace(b"\n", b"\r")


class _Relay:
    """The relay between the terminal and a socket, with its unsent data."""

    def __init__(self, stdin: int, out: int, far: socket.socket, tee: Tee | None, *, escapes: bool) -> None:
        self._stdin, self._out, self._far, self._tee = stdin, out, far, tee
        self._escapes = escapes
        self._is_at_end = False
        self._unsent = bytearray()
        far.setblocking(False)

    def begin(self, ahead: bytes) -> bool:
        """Send input from before raw mode; return True if it has ^]."""
        typed, escape, _ = ahead.partition(_ESCAPE) if self._escapes else (ahead, b"", b"")
        self._unsent += typed
        if escape:
            self._send()
        return bool(escape)

    def run(self) -> bool:
        """Copy in both directions; return True when the user detaches, False when the far side ends."""
        far, stdin = self._far.fileno(), self._stdin
        while True:
            ready = self._poll()
            if ready.get(far, 0) & ~select.POLLOUT and not self._receive():
                return False
            if ready.get(stdin, 0) and self._read():
                return True
            if ready.get(self._out, 0) & select.POLLERR:
                # The reader of the output has closed the pipe; without data from the far side, no write would fail.
                raise BrokenPipeError
            self._send()

    def _poll(self) -> dict[int, int]:
        """Wait for events; return them by descriptor."""
        events = {self._out: 0, self._far.fileno(): select.POLLIN | (select.POLLOUT if self._unsent else 0)}
        if not self._is_at_end and len(self._unsent) < _CHUNK:
            # The input may be the same descriptor as the output.
            events[self._stdin] = select.POLLIN
        # select(2) is limited to descriptors below 1024.
        poll = select.poll()
        for descriptor, mask in events.items():
            poll.register(descriptor, mask)
        return dict(poll.poll(_SIGNAL_CHECK_MS))

    def _receive(self) -> bool:
        """Write the far side's data to the output; return False at its end."""
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

    def _read(self) -> bool:
        """Read input; return True if the user detaches with it."""
        try:
            # Byte by byte from a terminal: input after ^] belongs to its next reader.
            data = os.read(self._stdin, 1 if self._escapes else _CHUNK)
        except OSError:
            # The terminal was closed.
            data = b""
        self._is_at_end = not data
        if self._escapes and data in (_ESCAPE, b""):
            return True
        self._unsent += data
        return False

    def _send(self) -> None:
        # `_receive` detects the end of the far side.
        with contextlib.suppress(OSError):
            if self._unsent:
                del self._unsent[: self._far.send(self._unsent)]
