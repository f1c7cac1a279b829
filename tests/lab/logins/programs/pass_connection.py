"""A proxy for ProxyUseFdpass: it connects to a host and port, and passes the connection to ssh on its output."""

import socket
import sys

with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection, socket.socket(fileno=1) as ssh:
    socket.send_fds(ssh, [b"\0"], [connection.fileno()])
