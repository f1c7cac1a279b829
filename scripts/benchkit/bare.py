"""The floor of `mclu status`: paramiko and libvirt-python alone, without checks, output or cleanup.

Run it as a program on a lab's LAN with the number of nodes. It logs in to ham0, ham1, … in parallel and makes the same
libvirt calls as `mclu status`, over forwarded sockets, and reads the node's memory as it does.
"""

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import libvirt

# As mclu does (cloud/transport/paramiko_ssh/lean_import.py): neither uses invoke.
sys.modules["invoke"] = None  # type: ignore[assignment]
import paramiko  # noqa: E402

_LIBVIRT = "/run/libvirt/libvirt-sock"
_STREAM_LOCAL = "direct-streamlocal@openssh.com"


class _Transport(paramiko.Transport):
    def _send_user_message(self, data: paramiko.Message) -> None:
        if _STREAM_LOCAL.encode() in data.asbytes():
            data.add_string(_LIBVIRT)
            data.add_string("")
            data.add_int(0)
        super()._send_user_message(data)  # type: ignore[misc]


class _Socket(socket.socket):
    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


def _ask(node: str, key: paramiko.PKey, path: str) -> None:
    connection = socket.create_connection((node, 22))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    transport = _Transport(_Socket(fileno=connection.detach()))
    transport.start_client()
    transport.auth_publickey("root", key)
    reading = transport.open_session()
    reading.exec_command("cat /proc/meminfo")
    channel = transport.open_channel(_STREAM_LOCAL)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    threading.Thread(target=_carry, args=(listener, channel), daemon=True).start()
    libvirtd = libvirt.open(f"qemu+unix:///system?socket={path}")
    libvirtd.getInfo()
    libvirtd.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
    libvirtd.getAllDomainStats()
    while reading.recv(65536):
        pass


def _carry(listener: socket.socket, channel: paramiko.Channel) -> None:
    end, _ = listener.accept()
    threading.Thread(target=_pump, args=(channel.recv, end.sendall), daemon=True).start()
    _pump(end.recv, channel.sendall)


def _pump(receive: Callable[[int], bytes], send: Callable[[bytes], object]) -> None:
    while data := receive(65536):
        send(data)


def main(count: int) -> None:
    """Query all nodes in parallel and wait for the answers."""
    key = paramiko.Ed25519Key.from_private_key_file(str(Path.home() / ".ssh/id_ed25519"))
    with tempfile.TemporaryDirectory() as directory:
        asking = [
            threading.Thread(target=_ask, args=(f"ham{i}", key, f"{directory}/{i}"), daemon=True) for i in range(count)
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()


if __name__ == "__main__":
    main(int(sys.argv[1]))
    os._exit(0)
