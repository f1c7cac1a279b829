"""The program that ssh runs to ask its user (ssh(1), SSH_ASKPASS): it passes the question to mclu's process.

It runs alone, with the standard library only: `python3 -I -S askpass_program.py PROMPT`. Its environment has the
socket of mclu. The request is the kind of the question (SSH_ASKPASS_PROMPT), a zero byte, and the prompt, to the end of
the stream. The reply is a zero byte and the text; an empty reply means that there is none.
"""

import os
import socket
import sys


def main() -> int:
    """Print the reply; return 1 without one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.connect(os.environ["MCLU_ASKPASS_SOCKET"])
        kind, prompt = os.environ.get("SSH_ASKPASS_PROMPT", ""), sys.argv[1] if len(sys.argv) > 1 else ""
        server.sendall(os.fsencode(kind) + b"\0" + os.fsencode(prompt))
        server.shutdown(socket.SHUT_WR)
        reply = b"".join(iter(lambda: server.recv(4096), b""))
    if not reply:
        return 1
    sys.stdout.buffer.write(reply[1:] + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
