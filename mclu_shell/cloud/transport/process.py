"""Commands on a machine: running ones, with their input and output, and completed ones."""

import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

from mclu_shell.cloud.transport.output import Output, read_streams

# In bytes. The rest of a longer line is dropped: no message or path is this long.
_LONGEST_LINE = 16 << 10


class Completed(NamedTuple):
    """The result of a command; `status` is -1 if the connection ended first."""

    status: int
    out: str
    err: str


class Process(Protocol):
    """A running command; its stderr goes to its stdout."""

    def send(self, data: bytes) -> None:
        """Write to stdin."""

    def end_input(self) -> None:
        """Close stdin; a command that reads it can stop then."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the output as it arrives, until its end."""

    def lines(self) -> Iterator[str]:
        """Yield the output by lines, until its end."""

    def wait(self, timeout_s: float) -> int:
        """Return the exit status; -1 if there is none in time."""

    def close(self) -> None:
        """Release the command's resources; do not wait for its end."""


def split_lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Split a stream into lines; a carriage return ends a line, too, as in progress bars.

    Keep only the first 16 KiB of a line.
    """
    rest, is_half = bytearray(), False
    for chunk in chunks:
        # A chunk may begin with the second half of a CR LF.
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
    """A running command on this machine."""

    def __init__(self, argv: Sequence[str]) -> None:
        # In its own session, Ctrl-C at the prompt reaches only mclu, which then ends the command itself.
        self._child = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )

    def send(self, data: bytes) -> None:
        """Write to stdin."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.write(data)
            self._child.stdin.flush()

    def end_input(self) -> None:
        """Close stdin."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.close()

    def chunks(self) -> Iterator[bytes]:
        """Yield the output as it arrives."""
        stream = self._child.stdout
        assert stream is not None
        return iter(lambda: stream.read1(65536), b"")  # type: ignore[attr-defined]

    def lines(self) -> Iterator[str]:
        """Yield the output by lines."""
        return split_lines(self.chunks())

    def wait(self, timeout_s: float) -> int:
        """Return the exit status; -1 if there is none in time."""
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return -1

    def close(self) -> None:
        """Close stdin; reap the command when it ends."""
        self.end_input()
        threading.Thread(target=self._child.wait, daemon=True).start()


def run_here(node: str, argv: Sequence[str], timeout_s: float) -> Completed:
    """Run a command on this machine; its status is -1 after a timeout."""
    output, deadline = Output(node, repr(argv[0]), count=2), time.monotonic() + timeout_s
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        try:
            read_streams((child.stdout, child.stderr), output, deadline)
            status = child.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            return Completed(-1, "", f"{argv[0]!r} timed out after {timeout_s:g} s")
        finally:
            child.kill()
    out, err = (bytes(part).decode(errors="replace") for part in output.parts)
    return Completed(status, out, err)
