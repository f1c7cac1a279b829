"""The server in an open shell that shares its connections with one-shots of the same user.

The shell describes its configuration and its nodes' sockets in a file of its run-time directory. It greets each client
of its request socket at once, so that a one-shot does not wait for a shell that hangs. A client then may send one
request as a line of JSON, and reads the answer to its end; the answer is empty if the shell has none. A one-shot with
an answer needs neither libvirt nor a connection.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.sharing.client import DESCRIPTION, GREETING, SOCKET
from mclu_shell.cloud.state.json_codec import report_as_json
from mclu_shell.cloud.transport.accept import connections
from mclu_shell.config import Config
from mclu_shell.errors import MCluError

_MAX_REQUEST_BYTES = 4096


class ShareServer:
    """The server of this process: it shares the sockets `paths`, by node name, and answers requests until closed."""

    def __init__(self, config: Config, directory: Path, paths: dict[str, Path], nodes: Sequence[Node]) -> None:
        self._nodes = {node.name: node for node in nodes}
        description = {"nodes": repr(config.nodes), "sockets": {name: str(path) for name, path in paths.items()}}
        # A reader must not see a part of the file.
        temporary = directory / f".{DESCRIPTION}"
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(description), encoding="utf-8")
        temporary.rename(directory / DESCRIPTION)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(directory / SOCKET))
        (directory / SOCKET).chmod(0o600)
        self._listener.listen()
        threading.Thread(target=self._listen, name="share", daemon=True).start()

    def _listen(self) -> None:
        for connection in connections(self._listener):
            with contextlib.suppress(OSError):
                connection.sendall(GREETING)
            threading.Thread(target=self._serve, args=(connection,), name="share", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as lines:
            if request := lines.readline(_MAX_REQUEST_BYTES):
                connection.sendall(self._answer(request))

    def _answer(self, line: bytes) -> bytes:
        # An invalid request must not end the server.
        with contextlib.suppress(MCluError, ValueError, KeyError, TypeError, RecursionError):
            request = json.loads(line)
            return json.dumps(_answer_request(self._nodes[request["node"]], request)).encode()
        return b""

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _answer_request(node: Node, request: dict[str, Any]) -> Any:
    """Return a node's answer to a request: its report, its templates, or its guests as `Node.fetch_guests`.

    A node that is gone or busy is not waited for: the one-shot can connect to it itself.
    """
    if request["question"] == "report":
        return report_as_json(node.fetch_report(unchecked=True))
    if request["question"] == "templates":
        return node.fetch_templates()
    return node.fetch_guests(active=request["active"], addresses=request["addresses"], unchecked=True)
