"""What a guest writes on its console and reads from it, as libvirt streams it."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from mclu_shell.errors import MCluError


class ConsoleStream:
    """An open console; errors are what `translated` makes of libvirt's. Two threads may receive and send."""

    def __init__(self, stream: Any, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self._stream = stream
        self._translated = translated

    def recv(self, size: int, /) -> bytes:
        """Some bytes; empty at the end."""
        with self._translated():
            return bytes(self._stream.recv(size))

    def sendall(self, data: bytes, /) -> None:
        """All of the bytes."""
        with self._translated():
            while data:
                data = data[self._stream.send(data) :]

    def close(self) -> None:
        """Give the console back, so that it can be opened again, when what was sent is read."""
        with contextlib.suppress(MCluError), self._translated():
            self._stream.finish()
