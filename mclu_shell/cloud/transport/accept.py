"""The accept loop of a listening socket."""

import errno
import socket
import time
from collections.abc import Iterator

# Temporary errors (accept(2)): the client has disconnected, or this process has too many open files.
_TEMPORARY = (errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_S = 0.2


def connections(listener: socket.socket) -> Iterator[socket.socket]:
    """Yield each connection until the listener is shut down."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if error.errno not in _TEMPORARY:
                return
            time.sleep(_PAUSE_S)
        else:
            yield connection
