"""Accepting connections for as long as somebody listens."""

import errno
import socket
import time
from collections.abc import Iterator

# What passes (accept(2)): who has connected has gone, or this process has as many files open as it may.
_PASSES = (errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_S = 0.2


def connections(listener: socket.socket) -> Iterator[socket.socket]:
    """Each that comes, until the listener is shut down."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if error.errno not in _PASSES:
                return
            time.sleep(_PAUSE_S)
        else:
            yield connection
