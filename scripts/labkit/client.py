"""Requests to the process of a lab."""

import json
import socket

from labkit import state_dir
from labkit.errors import LabError
from labkit.state_dir import Lab


def send(lab: Lab, verb: str, nodes: list[str], options: dict[str, int], timeout: float | None = None) -> None:
    """Send a request about nodes; return when it is done."""
    state_dir.inner_pid(lab)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(lab.control))
        request = {"verb": verb, "nodes": nodes, "options": options}
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile() as reply:
            answer = reply.read()
    if answer != "ok":
        raise LabError(answer or f"lab '{lab.name}' ended")
