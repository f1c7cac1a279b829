"""What a user types in a lab of real nodes, and what comes of it."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.lab.support.lab import RealLab, environment

# A question's own limit is 4 s; the rest is for a machine in distress.
# Ends the SSH connections to a node, as a bad network does, and not its sshd.
CUT = "pkill -f '^sshd: roo[t]'"
LIMIT_S = 15.0


@dataclass(frozen=True)
class Told:
    """What mclu answered, and how long it took."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def lines(self) -> list[str]:
        """The answer's lines."""
        return self.out.splitlines()

    def complains(self, node: str, *words: str) -> None:
        """Assert that one line says what is wrong with a node, in these words, and that nobody waited for long."""
        assert self.status == 1, self
        assert len(self.err.splitlines()) == 1, self.err
        assert self.err.startswith(f"mclu: {node}: "), self.err
        assert [word for word in words if word not in self.err] == [], self.err
        assert self.seconds < LIMIT_S


def mclu(lab: RealLab, *words: str, given: str | None = None) -> Told:
    """Run mclu as the operator."""
    started = time.monotonic()
    done = lab.run("mclu", *words, input=given)
    return Told(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


def at_once(lab: RealLab, *lines: str) -> list[Told]:
    """Run commands at the same time, as in several terminals."""
    with ThreadPoolExecutor(len(lines)) as pool:
        return list(pool.map(lambda line: mclu(lab, *line.split()), lines))


@contextlib.contextmanager
def started(lab: RealLab, *words: str, program: str | None = "mclu") -> Iterator[subprocess.Popen[str]]:
    """Run mclu, or any command, in the background, in a process group of its own; it ends with the block."""
    process = subprocess.Popen(
        lab.command(*([program] if program else []), *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def until(question: Callable[[], object], seconds: float = LIMIT_S) -> None:
    """Ask again and again until the answer is true."""
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def sockets(lab: RealLab) -> list[Path]:
    """The private sockets of the mclu processes that run."""
    return list((lab.path / "run").glob("mclu-*/*.sock"))


def left_behind(lab: RealLab) -> list[Path]:
    """What mclu has left in the operator's run-time directory."""
    return list((lab.path / "run").glob("mclu-*"))


def logins(lab: RealLab, node: str) -> int:
    """How often somebody has logged in on a node, which is on."""
    return lab.run("cat", "/var/log/sshd", node=node).stdout.count("Accepted publickey")


def is_on(lab: RealLab, *nodes: str) -> bool:
    """Whether nodes are on, as the lab itself knows."""
    states = lab.states()
    return all(states[node] != "off" for node in nodes)


# Guests

_DOMAIN = """
<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>{memory_mib}</memory><vcpu>{vcpus}</vcpu>
  <os><type arch='x86_64'>hvm</type></os>
</domain>
"""


def virsh(lab: RealLab, node: str, *words: str) -> str:
    """Run virsh on a node, and return what it prints."""
    done = lab.run("virsh", "-q", *words, node=node)
    assert done.returncode == 0, done.stderr
    return done.stdout


def describe_guest(lab: RealLab, node: str, name: str, memory_mib: int = 64, vcpus: int = 1) -> str:
    """Write a guest's description on a node, and return where."""
    path = f"/tmp/{name}.xml"
    lab.run("tee", path, node=node, input=_DOMAIN.format(name=name, memory_mib=memory_mib, vcpus=vcpus))
    return path


def run_guest(lab: RealLab, node: str, name: str, memory_mib: int = 64, vcpus: int = 1) -> None:
    """Have a guest run on a node; it has no disk and no kernel, and is forgotten when it ends."""
    running = virsh(lab, node, "list", "--name").split()
    if name not in running:
        virsh(lab, node, "create", describe_guest(lab, node, name, memory_mib, vcpus))


def end_guests(lab: RealLab, *nodes: str) -> None:
    """End what runs on nodes that are on."""
    for node in nodes:
        for name in virsh(lab, node, "list", "--name").split():
            virsh(lab, node, "destroy", name)


def python(lab: RealLab, code: str, *words: str) -> str:
    """Run Python, with mclu as a library, as the operator."""
    done = lab.run(sys.executable, "-c", code, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout
