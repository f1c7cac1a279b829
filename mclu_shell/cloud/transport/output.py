"""The output of a command, with a limit for its size and one deadline for all of it."""

import os
import selectors
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from mclu_shell.errors import TooMuchData

# In bytes, for all streams of a command together: the report about 4,000 image files takes 2 MiB.
MOST_BYTES = 4 << 20
_CHUNK = 1 << 16


class Output:
    """The bytes that a node sends, in one part for each stream; `source` and `node` name the sender in the error."""

    def __init__(self, node: str, source: str, count: int = 1, most_bytes: int = MOST_BYTES) -> None:
        self.parts = [bytearray() for _ in range(count)]
        self._node = node
        self._source = source
        self._most_bytes = most_bytes
        self._left = most_bytes

    def add(self, data: bytes, stream: int = 0) -> None:
        """Add bytes; raise TooMuchData if the node has sent more than the limit."""
        self.count(len(data))
        self.parts[stream] += data

    def count(self, size: int) -> None:
        """Count bytes that are kept elsewhere; raise TooMuchData."""
        self._left -= size
        if self._left < 0:
            fact = f"{self._source} sent more than {self._most_bytes >> 10} KiB"
            remedy = "check /bin/sh there, and the login shell with its start-up files"
            raise TooMuchData(fact, place=self._node, remedy=remedy)


def limited_lines(node: str, lines: Iterable[str], source: str, kept: str | tuple[str, ...] = "") -> Iterator[str]:
    """Yield the lines of a running command; those that begin with `kept`, which the caller keeps, have the limit."""
    output = Output(node, source)
    for line in lines:
        if line.startswith(kept):
            output.count(len(line))
        yield line


class _Stream(Protocol):
    def fileno(self) -> int:
        """Return the descriptor of a pipe or socket."""


def read_streams(streams: Sequence[_Stream], output: Output, deadline: float) -> None:
    """Read pipes or sockets until their ends; raise TimeoutError at the deadline (of `time.monotonic`)."""
    with selectors.DefaultSelector() as selector:
        for number, stream in enumerate(streams):
            selector.register(stream, selectors.EVENT_READ, number)
        while selector.get_map():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            for key, _ in selector.select(left_s):
                if chunk := os.read(key.fd, _CHUNK):
                    output.add(chunk, key.data)
                else:
                    selector.unregister(key.fileobj)
