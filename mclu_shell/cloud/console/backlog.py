"""Output of a console that its reader has not taken yet."""

import threading

MOST_BYTES = 1 << 20


class Backlog:
    """A queue of output; if the reader stops, as after Ctrl-S in a terminal, the oldest output is dropped.

    libvirt's client keeps all data of a stream until it is read, without a limit. So it has to be read.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._is_ended = False
        self._changed = threading.Condition()

    def put(self, data: bytes) -> None:
        """Add output; drop the oldest beyond 1 MiB."""
        with self._changed:
            self._data += data
            del self._data[:-MOST_BYTES]
            self._changed.notify()

    def end(self) -> None:
        """Let `get` return nothing after the last output."""
        with self._changed:
            self._is_ended = True
            self._changed.notify()

    def get(self) -> bytes:
        """Wait for output; return none at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._data or self._is_ended)
            data = bytes(self._data)
            self._data.clear()
            return data
