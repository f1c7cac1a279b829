"""Labs for tests of the lab itself: made by root, and by an ordinary user."""

import contextlib
import itertools
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.lab.conftest import require_lab
from tests.lab.support.lab import OWN, REPOSITORY, RealLab, execute

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 22), timeout=0.8).close()
    print("accepted")
except TimeoutError:
    print("silent")
except ConnectionRefusedError:
    print("refused")
"""
# A magic packet, as UDP to a port, or as a frame of its own.
WAKE = """
import socket, sys
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
packet = b"\\xff" * 6 + mac * 16
if sys.argv[2] == "ethertype":
    frame = b"\\xff" * 6 + bytes(6) + b"\\x08\\x42" + packet
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind(("lan0", 0))
    raw.send(frame)
else:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    udp.sendto(packet, ("10.73.255.255", int(sys.argv[2])))
"""


def _python_of(become: Sequence[str]) -> str:
    """Return a Python that another user may run: the one of the tests may be in somebody's home."""
    # The shell is there because setpriv itself still has root's rights when it looks for a program.
    question = 'exec "$0" -c "import sys; sys.exit(sys.version_info < (3, 11))"'
    for python in (sys.executable, *(f"/usr/bin/python3{minor}" for minor in ("", ".11", ".12", ".13", ".14"))):
        if execute([*become, "sh", "-c", question, python]).returncode == 0:
            return python
    pytest.skip("no Python 3.11 that every user may run")


_numbers = itertools.count()


@contextlib.contextmanager
def _ordinary_user() -> Iterator[tuple[str, ...]]:
    """Make a user, with a copy of what a lab consists of, and remove both."""
    # A test that is tried again makes another one.
    user = f"mclu-{os.getpid()}-{next(_numbers)}"
    place = Path(tempfile.mkdtemp(prefix=user, dir="/tmp"))
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", user], check=True)
    try:
        place.chmod(0o755)
        shutil.copytree(REPOSITORY / "scripts", place / "scripts")
        if (REPOSITORY / ".lab/root").exists():
            shutil.copytree(REPOSITORY / ".lab/root", place / ".lab/root", symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env"]
        yield (*become, _python_of(become), str(place / "scripts/lab"))
    finally:
        shutil.rmtree(place)
        shutil.rmtree(f"/tmp/mclu-lab-{pwd.getpwnam(user).pw_uid}", ignore_errors=True)
        subprocess.run(["userdel", "--force", "--remove", user], check=True, capture_output=True)


@pytest.fixture(scope="module", params=["root", "user"])
def words(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """The first words of a command of scripts/lab, as root or as an ordinary user made for it."""
    is_root = os.geteuid() == 0
    if request.param == "root" and not is_root:
        pytest.skip("these tests do not run as root")
    with contextlib.ExitStack() as stack:
        made = request.param == "user" and is_root
        own = stack.enter_context(_ordinary_user()) if made else OWN
        require_lab(own)
        yield own


@pytest.fixture(scope="module")
def shared(words: tuple[str, ...]) -> Iterator[RealLab]:
    lab = RealLab(3, on=1, words=words)
    yield lab
    lab.down()


@pytest.fixture
def lab(shared: RealLab) -> RealLab:
    """A lab with ham0 on; ham1 and ham2 off."""
    shared.power(on=["ham0"])
    return shared


def mac_of(lab: RealLab, node: str) -> str:
    lines = dict(line.split(" mac=") for line in lab.lab("config").stdout.splitlines() if "mac=" in line)
    return lines[node]


def pid_of(lab: RealLab, node: str) -> str:
    """Return the pid of a node's pid 1, which is another after each boot."""
    states = [line.split() for line in (lab.path / "state").read_text().splitlines()]
    return next(pid for name, pid, *_ in states if name == node)
