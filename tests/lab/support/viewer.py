"""A stand-in for remote-viewer, which speaks VNC (RFC 6143) but has no window."""

import sys
from pathlib import Path

from tests.lab.support.lab import RealLab

# Completes the handshake, records the name of the screen, and stays until the screen closes.
VIEWER = f"""#!{sys.executable}
import os, socket, sys
from urllib.parse import urlsplit

*words, uri = sys.argv[1:]
address = urlsplit(uri)
screen = socket.create_connection((address.hostname, address.port))
stream = screen.makefile("rwb", buffering=0)

def read(count):
    return stream.read(count) or sys.exit(f"turned away from {{uri}}")

stream.write(read(12))          # The version: RFB 003.008.
assert 1 in read(read(1)[0])    # Security types: 1 is none.
stream.write(bytes([1]))
assert read(4) == bytes(4)
stream.write(bytes([1]))        # Others may watch, too.
name = read(24)[-1]
with open(os.environ["HOME"] + "/viewed", "a") as file:
    print(os.getpid(), uri, read(name).decode(), *words, file=file)
if not os.environ.get("HASTY"):
    stream.read(1)
"""


def install_viewer(programs: Path, text: str = VIEWER) -> None:
    """Install a viewer among the programs."""
    file = programs / "remote-viewer"
    file.write_text(text)
    file.chmod(0o755)


def mclu_with(programs: Path, *words: str) -> tuple[str, ...]:
    """Return a command that runs mclu with only these programs on its PATH."""
    return ("env", f"PATH={programs}", "mclu", *words)


def viewed(lab: RealLab) -> list[str]:
    """Return a line for each screen that the viewer has opened."""
    file = lab.path / "home/viewed"
    return file.read_text().splitlines() if file.exists() else []
