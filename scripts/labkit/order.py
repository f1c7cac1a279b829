"""Gives the process of a lab an order."""

import json
import socket

from labkit import place
from labkit.errors import LabError
from labkit.place import Lab


def give(lab: Lab, verb: str, nodes: list[str], options: dict[str, int], timeout: float | None = None) -> None:
    """Have something done to nodes, and return when it is done."""
    place.inner_pid(lab)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(lab.control))
        order = {"verb": verb, "nodes": nodes, "options": options}
        connection.sendall(json.dumps(order).encode() + b"\n")
        with connection.makefile() as reply:
            answer = reply.read()
    if answer != "ok":
        raise LabError(answer or f"lab '{lab.name}' ended")
