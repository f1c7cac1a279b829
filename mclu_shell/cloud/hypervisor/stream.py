"""libvirt's stream to and from a guest's console."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from mclu_shell.errors import MCluError


class ConsoleStream:
    """An open console; `translate_errors` translates libvirt's errors. One thread may receive while another sends."""

    def __init__(self, stream: Any, translate_errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._stream = stream
        self._translate_errors = translate_errors

    def recv(self, size: int, /) -> bytes:
        """Return the next bytes of output; empty at the end."""
        with self._translate_errors():
            return bytes(self._stream.recv(size))

    def sendall(self, data: bytes, /) -> None:
        """Send all bytes."""
        with self._translate_errors():
            while data:
                data = data[self._stream.send(data) :]

    def close(self) -> None:
        """Close the console when the guest has read all input, so that it can be opened again."""
        with contextlib.suppress(MCluError), self._translate_errors():
            self._stream.finish()
