"""What open shells of the same user have to share: finding it, and having a shell ask its node."""

import contextlib
import json
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mclu_shell.config import Config

# In a shell's run-time directory: what it tells of itself, and the socket on which it answers, at first with this.
TOLD, ASK = "share.json", "ask.sock"
HERE = b"1"
# A shell that is there says so in less than a millisecond, unless everything on this machine takes longer. Then ways of
# our own would take still more.
_PATIENCE_S = 0.3


class Shared(NamedTuple):
    """What an open shell has of a node: the socket that leads to its libvirt, and the one on which it answers."""

    libvirt: Path
    shell: Path


def find_shared(config: Config, directories: Iterable[Path]) -> dict[str, Shared]:
    """What open shells have for the same configuration, by node; empty if there are none."""
    found: dict[str, Shared] = {}
    ours = repr(config.nodes)
    for directory in directories:
        # Another version may have told something else.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            told = json.loads((directory / TOLD).read_text(encoding="utf-8"))
            if told["nodes"] == ours and _is_alive(directory / ASK):
                there = {name: Shared(Path(path), directory / ASK) for name, path in told["sockets"].items()}
                # One shell may have a connection that another has not: a passphrase was told to it alone.
                found = {name: shared for name, shared in there.items() if shared.libvirt.is_socket()} | found
    return found


def _is_alive(path: Path) -> bool:
    with _connected(path, _PATIENCE_S) as connection:
        return connection.recv(len(HERE)) == HERE


def ask_shell(path: Path, question: dict[str, Any], timeout_s: float) -> Any:
    """Have a shell ask its node, and wait that long; OSError or ValueError where it has no answer."""
    with _connected(path, timeout_s) as connection, connection.makefile("rb") as answer:
        connection.sendall(json.dumps(question).encode() + b"\n")
        if answer.read(len(HERE)) != HERE:
            raise ConnectionResetError
        return json.loads(answer.read())


@contextlib.contextmanager
def _connected(path: Path, timeout_s: float) -> Iterator[socket.socket]:
    """A connection to a shell, of which each step has that long; OSError where there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        yield connection
