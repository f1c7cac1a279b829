"""Commands on a machine: running ones, with their input and output, and completed ones."""

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple, Protocol

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


def run_here(argv: Sequence[str], timeout_s: float) -> Completed:
    """Run a command on this machine; its status is -1 after a timeout."""
    try:
        completed = subprocess.run(
            argv,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return Completed(-1, "", f"{argv[0]!r} timed out after {timeout_s:g} s")
    return Completed(completed.returncode, completed.stdout, completed.stderr)
