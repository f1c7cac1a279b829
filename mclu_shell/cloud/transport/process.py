"""A command that runs on a machine: its output line by line, its input as a life-line, its exit status."""

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

# In bytes. Nothing that is meant to be read is longer, nor is the path of a file.
_LONGEST_LINE = 16 << 10


class Completed(NamedTuple):
    """What a command did; `status` is -1 when the connection ended before it did."""

    status: int
    out: str
    err: str


class Process(Protocol):
    """A running command whose output (both streams in one) is read while it runs."""

    def send(self, data: bytes) -> None:
        """Write to its standard input."""

    def end_input(self) -> None:
        """Close its standard input; a command that watches it takes this as the order to give up."""

    def chunks(self) -> Iterator[bytes]:
        """Its output as it comes, until it closes it."""

    def lines(self) -> Iterator[str]:
        """Its output, line by line, until it closes it."""

    def wait(self, timeout_s: float) -> int:
        """Its exit status; -1 if there is none in time."""

    def close(self) -> None:
        """Let go of it, whether or not it has ended."""


def split_lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Lines of a stream that comes in pieces; a carriage return ends a line, too: progress bars use it.

    Of a line without an end only the beginning is kept.
    """
    rest, is_half = bytearray(), False
    for chunk in chunks:
        # The second half of an end of line that came in two pieces.
        text = chunk.removeprefix(b"\n") if is_half else chunk
        is_half = chunk.endswith(b"\r")
        first, *others = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest += first[: _LONGEST_LINE - len(rest)]
        for line in others:
            yield rest.decode(errors="replace")
            rest = bytearray(line[:_LONGEST_LINE])
    if rest:
        yield rest.decode(errors="replace")


class LocalProcess:
    """A command on this machine."""

    def __init__(self, argv: Sequence[str]) -> None:
        # A session of its own: Ctrl-C at the prompt is for mclu, which then ends it in good order.
        self._child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )

    def send(self, data: bytes) -> None:
        """Write to its standard input."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.write(data)
            self._child.stdin.flush()

    def end_input(self) -> None:
        """Close its standard input."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.close()

    def chunks(self) -> Iterator[bytes]:
        """Its output as it comes."""
        stream = self._child.stdout
        assert stream is not None
        return iter(lambda: stream.read1(65536), b"")  # type: ignore[attr-defined]

    def lines(self) -> Iterator[str]:
        """Its output, line by line."""
        return split_lines(self.chunks())

    def wait(self, timeout_s: float) -> int:
        """Its exit status; -1 if there is none in time."""
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return -1

    def close(self) -> None:
        """Let go of it; it is reaped whenever it ends."""
        self.end_input()
        threading.Thread(target=self._child.wait, daemon=True).start()


def run_here(argv: Sequence[str], timeout_s: float) -> Completed:
    """Run a command on this machine; status -1 if it does not end in time."""
    try:
        done = subprocess.run(
            argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        return Completed(-1, "", f"{argv[0]!r} did not end in {timeout_s:g} s")
    return Completed(done.returncode, done.stdout, done.stderr)
