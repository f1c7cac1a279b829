"""The connections of an open shell, for the one-shots of the same user: told in its run-time directory.

A shell writes which configuration it serves and what the sockets of its nodes are called. On a socket of its own it
answers, so that a shell that hangs is not waited for, and asks its nodes for others: a one-shot that has it asked
needs neither libvirt nor a connection. To each who connects there it says at once that it is there; then whoever likes
writes one question, as a line of JSON, and reads the answer to the end: an empty one if the shell has none.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.sharing.client import ASK, HERE, TOLD
from mclu_shell.cloud.state.json_codec import report_as_json
from mclu_shell.cloud.transport.accept import connections
from mclu_shell.config import Config
from mclu_shell.errors import MCluError

_LONGEST_QUESTION = 4096


class ShareServer:
    """Offers the sockets of this process, `paths` by the nodes' names, and its answers, until it is closed."""

    def __init__(self, config: Config, directory: Path, paths: dict[str, Path], nodes: Sequence[Node]) -> None:
        self._nodes = {node.name: node for node in nodes}
        told = {"nodes": repr(config.nodes), "sockets": {name: str(path) for name, path in paths.items()}}
        # Under its name only when it is whole.
        aside = directory / f".{TOLD}"
        aside.touch(mode=0o600)
        aside.write_text(json.dumps(told), encoding="utf-8")
        aside.rename(directory / TOLD)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(directory / ASK))
        (directory / ASK).chmod(0o600)
        self._listener.listen()
        threading.Thread(target=self._listen, name="share", daemon=True).start()

    def _listen(self) -> None:
        for connection in connections(self._listener):
            with contextlib.suppress(OSError):
                connection.sendall(HERE)
            threading.Thread(target=self._serve, args=(connection,), name="share", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as asked:
            if question := asked.readline(_LONGEST_QUESTION):
                connection.sendall(self._answer(question))

    def _answer(self, question: bytes) -> bytes:
        # Nothing that comes in here may end more than this answer.
        with contextlib.suppress(MCluError, ValueError, KeyError, TypeError, RecursionError):
            asked = json.loads(question)
            return json.dumps(_answer_request(self._nodes[asked["node"]], asked)).encode()
        return b""

    def close(self) -> None:
        """Answer no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _answer_request(node: Node, asked: dict[str, Any]) -> Any:
    """Have a node asked what a question says: `report`, or else `guests`, with the arguments of `Node.fetch_guests`.

    Whoever asks does not wait long for a node that is gone, or that is busy, but has a way of its own.
    """
    if asked["question"] == "report":
        return report_as_json(node.fetch_report(trusting=True))
    return node.fetch_guests(active=asked["active"], addresses=asked["addresses"], trusting=True)
