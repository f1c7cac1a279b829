"""Fixtures of the tests of the lab itself, which run as root and as an ordinary user."""

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

from tests.lab.support.lab import OWN, REPOSITORY, RealLab, execute, require_lab

_numbers = itertools.count()


def _find_python(become: Sequence[str]) -> str:
    """Return a Python that another user may run: that of the tests may be in a home directory."""
    # The shell makes the difference: setpriv itself still has root's rights when it searches for a program.
    question = 'exec "$0" -c "import sys; sys.exit(sys.version_info < (3, 11))"'
    for python in (sys.executable, *(f"/usr/bin/python3{minor}" for minor in ("", ".11", ".12", ".13", ".14"))):
        if execute([*become, "sh", "-c", question, python]).returncode == 0:
            return python
    pytest.skip("no Python 3.11 that every user may run")


@contextlib.contextmanager
def _ordinary_user() -> Iterator[tuple[str, ...]]:
    """Create a user with a copy of the lab's files, and remove both at the end."""
    # A retried test creates another user.
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
        yield (*become, _find_python(become), str(place / "scripts/lab"))
    finally:
        shutil.rmtree(place)
        shutil.rmtree(f"/tmp/mclu-lab-{pwd.getpwnam(user).pw_uid}", ignore_errors=True)
        subprocess.run(["userdel", "--force", "--remove", user], check=True, capture_output=True)


@pytest.fixture(scope="module", params=["root", "user"])
def words(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """The first words of a scripts/lab command, run by root or by an ordinary user."""
    is_root = os.geteuid() == 0
    if request.param == "root" and not is_root:
        pytest.skip("these tests do not run as root")
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(_ordinary_user()) if request.param == "user" and is_root else OWN
        require_lab(own)
        yield own


@pytest.fixture(scope="module")
def lab3(words: tuple[str, ...]) -> Iterator[RealLab]:
    """A lab of three nodes, shared by the tests of a file."""
    lab = RealLab(3, on=1, words=words)
    yield lab
    lab.down()


@pytest.fixture
def lab(lab3: RealLab) -> RealLab:
    """The lab of three nodes with only ham0 on."""
    lab3.power(on=["ham0"])
    return lab3
