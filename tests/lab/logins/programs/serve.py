"""Run a command for each connection to a port of this machine's loopback: serve.py PORT COMMAND…."""

import socket
import subprocess
import sys

with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        connection, _ = listener.accept()
        with connection:
            subprocess.Popen(sys.argv[2:], stdin=connection.fileno(), stdout=connection.fileno())
