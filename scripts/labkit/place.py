"""Where the labs of one user keep their state on the host, and which of them are alive."""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from labkit.errors import LabError

# A lab's longest socket is BASE/NAME/nodes/ham999/run/libvirt/libvirt-sock, and the kernel allows 107 bytes.
LONGEST_BASE = 40
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,19}\Z")
IN_USER_NAMESPACE = ("unshare", "--user", "--map-auto", "--map-root-user")


class Lab(NamedTuple):
    """The state directory of one lab. The outer process keeps it; `nodes` is a tmpfs seen inside only."""

    path: Path

    @property
    def name(self) -> str:
        """Return the lab's name."""
        return self.path.name

    @property
    def outer(self) -> Path:
        """The file that names the outer process and when it started."""
        return self.path / "outer"

    @property
    def control(self) -> Path:
        """The socket on which the lab takes orders."""
        return self.path / "control"

    @property
    def state(self) -> Path:
        """The file with a line a node: its name, its pid 1 (0: off), and its state in words."""
        return self.path / "state"

    @property
    def log(self) -> Path:
        """What the outer process had to say."""
        return self.path / "log"

    @property
    def config(self) -> Path:
        """An mclu.conf for this lab."""
        return self.path / "mclu.conf"

    @property
    def home(self) -> Path:
        """The operator's home directory."""
        return self.path / "home"

    @property
    def known_hosts(self) -> Path:
        """The operator's known_hosts."""
        return self.home / ".ssh/known_hosts"

    @property
    def run(self) -> Path:
        """The operator's run-time directory."""
        return self.path / "run"

    @property
    def nodes(self) -> Path:
        """The nodes' disks."""
        return self.path / "nodes"


def start_time(pid: int) -> str:
    """Return when a living process started, in clock ticks since boot: this makes its pid unique."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def outer_pid(lab: Lab) -> int:
    """Return the pid of the lab's outer process, or 0 if it has ended."""
    try:
        pid, started = lab.outer.read_text().split()
    except (FileNotFoundError, ValueError):
        return 0
    return int(pid) if start_time(int(pid)) == started else 0


def inner_pid(lab: Lab) -> int:
    """Return the pid, as the host sees it, of pid 1 inside the lab."""
    pid = outer_pid(lab)
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if pid else []
    except OSError:
        children = []
    if not children:
        raise LabError(f"no lab '{lab.name}' is up")
    return int(children[0])


def node_states(lab: Lab) -> list[tuple[str, int, str]]:
    """Return each node's name, the pid of its pid 1 as the lab numbers it (0: off), and its state in words."""
    try:
        lines = lab.state.read_text().splitlines()
    except FileNotFoundError:
        return []  # The lab is just being made.
    return [(name, int(pid), words) for name, pid, words in (line.split(maxsplit=2) for line in lines)]


def base_directory() -> Path:
    """Return the private directory of this user's labs, made if need be."""
    base = _candidate()
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o700)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise LabError(f"{base}: not a private directory of this user")
    return base


def _candidate() -> Path:
    run = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    usable = run.is_absolute() and len(str(run)) < LONGEST_BASE - len("/mclu-lab") and run.is_dir()
    # After `su` the variable may still be the other user's.
    if usable and run.stat().st_uid == os.getuid():
        return run / "mclu-lab"
    return Path(f"/tmp/mclu-lab-{os.getuid()}")


def named(name: str) -> Lab:
    """Return the lab of this name, which may or may not exist."""
    if not NAME.match(name):
        raise LabError(f"{name!r}: a lab's name is up to 20 letters, digits, - and _")
    return Lab(base_directory() / name)


def living() -> list[Lab]:
    """Return the labs that are up."""
    return [lab for lab in _all() if outer_pid(lab)]


def _all() -> list[Lab]:
    return [Lab(path) for path in sorted(base_directory().iterdir()) if NAME.match(path.name)]


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Keep others from making or sweeping a lab meanwhile."""
    descriptor = os.open(base_directory(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sweep() -> None:
    """Remove what labs left whose outer process is gone."""
    with locked():
        sweep_locked()


def sweep_locked() -> None:
    """Do the same while the lock is held: without it, a lab that is just being made would look dead."""
    for lab in _all():
        if not outer_pid(lab):
            remove(lab)


def remove(lab: Lab) -> None:
    """Remove a state directory."""
    # They are loaded here, because `lab exec` is to be quick and needs neither.
    import shutil
    import subprocess

    with contextlib.suppress(FileNotFoundError):
        try:
            shutil.rmtree(lab.path)
        except PermissionError:
            # Without root, files that the lab gave to another user can be removed from a user namespace only.
            subprocess.run([*IN_USER_NAMESPACE, "rm", "-rf", "--", str(lab.path)], check=False)
