"""The accept loop in a process that has run out of file descriptors."""

import subprocess
import sys

# No descriptor is free until a line arrives on stdin; then the loop accepts the connection.
_PROGRAM = """
import os, resource, socket, threading
from mclu_shell.cloud.transport.accept import connections
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, most[1]))
accepted = threading.Event()
def accept():
    for connection in connections(listener):
        accepted.set()
thread = threading.Thread(target=accept)
thread.start()
print(accepted.wait(0.1), thread.is_alive())
resource.setrlimit(resource.RLIMIT_NOFILE, most)
print(accepted.wait(10))
listener.shutdown(socket.SHUT_RDWR)
thread.join(10)
print(thread.is_alive())
"""


def test_the_loop_accepts_again_once_descriptors_are_free() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "True", "True", "False"]
