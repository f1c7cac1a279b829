"""A connection that the user's own ssh process shares (ssh_config(5), ControlMaster); mclu never ends that process."""

import contextlib
import time
from pathlib import Path

from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.openssh.connection import OpenSSHConnection
from mclu_shell.cloud.transport.openssh.mux import MuxClient, MuxRefused

_LOCAL_TIMEOUT_S = 1.0


class _UsersMaster:
    """The user's ssh process behind the socket `control`; `files` names the local sockets of its forwards."""

    def __init__(self, control: Path, files: Path) -> None:
        """Connect to it; OSError if it does not run."""
        self.control = control
        self.files = files
        self._is_closed = False
        # It stays open and idle until the end of the process.
        self._watch = MuxClient(control, time.monotonic() + _LOCAL_TIMEOUT_S)

    @property
    def is_alive(self) -> bool:
        """True until the process ends."""
        with contextlib.suppress(ValueError):
            # Another thread may close it now.
            return not self._is_closed and self._watch.is_open
        return False

    def mark(self) -> int:
        """Return a mark for `find_refusal`."""
        return 0

    def find_refusal(self, _mark: int, _timeout_s: float) -> str:
        """Return no message: those of the process go to the user's terminal."""
        return ""

    def close(self) -> None:
        """Leave the process."""
        self._is_closed = True
        self._watch.close()


class SharedConnection(OpenSSHConnection):
    """A connection that ends for mclu only."""

    def close(self) -> None:
        """End the forwards and all calls that are blocked on them."""
        for remote, local in self.forwards().items():
            with contextlib.suppress(OSError, EOFError, MuxRefused):
                deadline = time.monotonic() + _LOCAL_TIMEOUT_S
                with contextlib.closing(self._client(deadline)) as client:
                    client.close_forward(local, remote, deadline)
        super().close()


def find_shared_connection(target: Target, users: Path, files: Path, timeout_s: float) -> SharedConnection | None:
    """Return the connection behind the user's socket; None if there is none, or sshd does not answer on it in time."""
    try:
        connection = SharedConnection(target, _UsersMaster(users, files))
    except (OSError, EOFError):
        return None
    return connection if connection.responds(timeout_s) else None
