"""Our ends of the channels that an ssh process carries."""

import socket

from mclu_shell.cloud.transport.openssh.mux import MuxClient


class Stream(socket.socket):
    """Our end of a channel whose other end ssh has; it ends with its connection to the control socket."""

    def __init__(self, ours: socket.socket, client: MuxClient) -> None:
        timeout_s = ours.gettimeout()
        super().__init__(fileno=ours.detach())
        # The new object does not know that the descriptor is non-blocking.
        self.settimeout(timeout_s)
        self._client = client

    def shutdown_write(self) -> None:
        """Send the end of the input."""
        self.shutdown(socket.SHUT_WR)

    def wait_status(self, timeout_s: float) -> int:
        """Return the exit status of the session; -1 if there is none in time."""
        return self._client.exit_status(timeout_s)

    def close(self) -> None:
        """Close both directions."""
        self._client.close()
        super().close()


def is_at_end(channel: socket.socket) -> bool:
    """Return whether ssh has closed the connection."""
    try:
        return channel.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
