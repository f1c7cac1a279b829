"""Readiness of a node: sshd sends its banner, and libvirtd replies to a call."""

import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from labkit.node import Node

# libvirt's remote protocol: length, program, version, procedure AUTH_LIST, type call, serial, status.
AUTH_LIST = struct.pack(">7I", 28, 0x20008086, 1, 66, 0, 0, 0)
PAUSE = 0.01


def _ssh_banner(address: str, timeout: float) -> bool:
    with socket.create_connection((address, 22), timeout) as connection:
        return connection.recv(4) == b"SSH-"


def _libvirt_reply(path: Path, timeout: float) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(AUTH_LIST)
        return len(connection.recv(28)) == 28


def _poll(check: Callable[[float], bool], deadline: float) -> bool:
    while (left := deadline - time.monotonic()) > 0:
        try:
            if check(min(left, 5)):
                return True
        except OSError:
            pass  # Not yet: refused, no route, no such socket.
        time.sleep(PAUSE)
    return False


def sshd_complaint(node: Node, deadline: float) -> str:
    """Wait until sshd answers; return "" or an error text. `deadline` is a value of time.monotonic."""
    is_ready = _poll(lambda timeout: _ssh_banner(node.address, timeout), deadline)
    return "" if is_ready else f"{node.name}: sshd does not answer"


def complaint(node: Node, deadline: float) -> str:
    """Wait until sshd and libvirtd answer; return "" or an error text."""
    if problem := sshd_complaint(node, deadline):
        return problem
    is_ready = _poll(lambda timeout: _libvirt_reply(node.libvirt_socket, timeout), deadline)
    return "" if is_ready else f"{node.name}: libvirtd does not answer"
