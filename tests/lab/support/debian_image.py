"""The disk image of a small Debian for tests, built in a minute and kept between runs in .lab/debian."""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.support.lab import REPOSITORY, skip

# The name that the template debian-cloud downloads.
IMAGE = "debian-13-generic-amd64.qcow2"
_RECIPE = Path(__file__).with_name("debian-image")
_CACHE = REPOSITORY / ".lab/debian"
_IN_USER_NAMESPACE = ("unshare", "--user", "--map-auto", "--map-root-user")
_TIMEOUT_S = 900


def require_debian_image() -> Path:
    """Return a directory with the image and SHA512SUMS, as on a mirror; skip the test if it cannot be built."""
    release = platform.freedesktop_os_release()
    if release["ID"] != "debian" or platform.machine() != "x86_64":
        skip("only Debian on x86-64 can build the Debian guest of these tests")
    if not shutil.which("mmdebstrap"):
        skip("there is no mmdebstrap: run scripts/setup")
    key = hashlib.sha256(_RECIPE.read_bytes() + release["VERSION_CODENAME"].encode()).hexdigest()[:16]
    directory = _CACHE / key
    # Test processes that run in parallel share one build.
    with _locked():
        if not directory.exists():
            _replace_cache(directory)
    return directory


@contextmanager
def _locked() -> Iterator[None]:
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace_cache(directory: Path) -> None:
    """Build the image, and remove those of other recipes and of interrupted builds."""
    for old in _CACHE.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    with tempfile.TemporaryDirectory(prefix="build-", dir=_CACHE) as work:
        result = Path(work) / "result"
        result.mkdir()
        _build(Path(work), result / IMAGE)
        with (result / IMAGE).open("rb") as image:
            checksum = hashlib.file_digest(image, "sha512").hexdigest()
        (result / "SHA512SUMS").write_text(f"{checksum}  {IMAGE}\n")
        result.rename(directory)


def _build(work: Path, image: Path) -> None:
    as_root = [] if os.geteuid() == 0 else [*_IN_USER_NAMESPACE]
    done = subprocess.run(
        [_RECIPE, image, *as_root],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        cwd=work,
        # An ordinary user's mmdebstrap works as other users, who may not have access to the user's own directory.
        env={**os.environ, "TMPDIR": "/tmp"},
    )
    if done.returncode != 0:
        skip(f"cannot build the Debian guest of these tests:\n{done.stdout[-2000:]}")
