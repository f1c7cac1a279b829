"""State directories of one user's labs on the host."""

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
    """The state directory of one lab. Its outer process maintains it; `nodes` is a tmpfs visible inside only."""

    path: Path

    @property
    def name(self) -> str:
        """Return the lab's name."""
        return self.path.name

    @property
    def outer(self) -> Path:
        """The file with pid and start time of the outer process."""
        return self.path / "outer"

    @property
    def control(self) -> Path:
        """The socket for requests."""
        return self.path / "control"

    @property
    def state(self) -> Path:
        """The file with one line per node: its name, its pid 1 (0: off), and its state in words."""
        return self.path / "state"

    @property
    def log(self) -> Path:
        """The standard output and error of the outer process."""
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
    """Return the start time of a living process in clock ticks since boot; with it, a pid is unique."""
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
    """Return the pid of the lab's pid 1, in the pid namespace of the host."""
    pid = outer_pid(lab)
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if pid else []
    except OSError:
        children = []
    if not children:
        raise LabError(f"no lab '{lab.name}' is up")
    return int(children[0])


def node_states(lab: Lab) -> list[tuple[str, int, str]]:
    """Return each node's name, its pid 1 in the pid namespace of the lab (0: off), and its state in words."""
    try:
        lines = lab.state.read_text().splitlines()
    except FileNotFoundError:
        return []  # The lab is starting.
    return [(name, int(pid), words) for name, pid, words in (line.split(maxsplit=2) for line in lines)]


def base_directory() -> Path:
    """Return the private directory of this user's labs; make it if necessary."""
    base = _candidate()
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o700)
    status = base.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise LabError(f"{base} is not a private directory of this user; remove it")
    return base


def _candidate() -> Path:
    run = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    usable = run.is_absolute() and len(str(run)) < LONGEST_BASE - len("/mclu-lab") and run.is_dir()
    # After `su` the variable may still have the other user's value.
    if usable and run.stat().st_uid == os.getuid():
        return run / "mclu-lab"
    return Path(f"/tmp/mclu-lab-{os.getuid()}")


def named(name: str) -> Lab:
    """Return the lab of this name, even if it does not exist."""
    if not NAME.match(name):
        raise LabError(f"bad name {name!r}; use up to 20 letters, digits, - and _")
    return Lab(base_directory() / name)


def living() -> list[Lab]:
    """Return the labs that are up."""
    return [lab for lab in _all() if outer_pid(lab)]


def _all() -> list[Lab]:
    return [Lab(path) for path in sorted(base_directory().iterdir()) if NAME.match(path.name)]


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the lock for making and removing labs."""
    descriptor = os.open(base_directory(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sweep() -> None:
    """Remove the state directories of labs whose outer process is gone."""
    with locked():
        sweep_locked()


def sweep_locked() -> None:
    """Do the same with the lock held; without it, a lab that is starting would look dead."""
    for lab in _all():
        if not outer_pid(lab):
            remove(lab)


def remove(lab: Lab) -> None:
    """Remove a state directory."""
    # `lab exec` must be fast and needs neither.
    import shutil
    import subprocess

    with contextlib.suppress(FileNotFoundError):
        try:
            shutil.rmtree(lab.path)
        except PermissionError:
            # Without root, files that the lab gave to another user can be removed only in a user namespace.
            subprocess.run([*IN_USER_NAMESPACE, "rm", "-rf", "--", str(lab.path)], check=False)
