"""The connections of an open shell, for the one-shots of the same user: told in its run-time directory.

A shell writes which configuration it serves and what the sockets of its nodes are called, and answers on a socket
of its own, so that a shell that hangs is not waited for.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Iterable
from pathlib import Path

from mclu_shell.cloud.listening import connections
from mclu_shell.cloud.recollection import config_identity
from mclu_shell.config import Config

_TOLD, _ALIVE = "share.json", "alive.sock"
# A shell that is there answers in less than a millisecond.
_PATIENCE_S = 0.1


class Share:
    """Offers the sockets of this process, `paths` by the nodes' names, until it is closed."""

    def __init__(self, config: Config, directory: Path, paths: dict[str, Path]) -> None:
        told = {"config": config_identity(config), "sockets": {name: str(path) for name, path in paths.items()}}
        # Under its name only when it is whole.
        aside = directory / f".{_TOLD}"
        aside.touch(mode=0o600)
        aside.write_text(json.dumps(told), encoding="utf-8")
        aside.rename(directory / _TOLD)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(directory / _ALIVE))
        (directory / _ALIVE).chmod(0o600)
        self._listener.listen()
        threading.Thread(target=self._answer, name="share", daemon=True).start()

    def _answer(self) -> None:
        for connection in connections(self._listener):
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"1")

    def close(self) -> None:
        """Answer no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def find_shared(config: Config, directories: Iterable[Path]) -> dict[str, Path]:
    """The sockets that open shells have for the same configuration, by node; empty if there are none."""
    found: dict[str, Path] = {}
    for directory in directories:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = json.loads((directory / _TOLD).read_text(encoding="utf-8"))
            if told["config"] == config_identity(config) and _is_alive(directory):
                there = {name: Path(path) for name, path in told["sockets"].items()}
                # One shell may have a connection that another has not: a passphrase was told to it alone.
                found = {name: path for name, path in there.items() if path.is_socket()} | found
    return found


def _is_alive(directory: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE_S)
        connection.connect(str(directory / _ALIVE))
        return connection.recv(1) == b"1"
