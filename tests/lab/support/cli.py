"""Commands that the operator of a lab runs, and their results."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.lab.support.lab import RealLab, environment

# Ends the SSH connections to a node, as a bad network does, but not its sshd.
CUT_CONNECTIONS = "pkill -f '^sshd: roo[t]'"
# mclu's own timeout for a request is 4 s; the rest allows for a machine under load.
LIMIT_S = 15.0


@dataclass(frozen=True)
class Result:
    """The exit status, output and duration of an mclu command."""

    status: int
    out: str
    err: str
    seconds: float

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.out.splitlines()

    def assert_error(self, node: str, *words: str) -> None:
        """Assert that mclu failed in time with one line about the node that contains these words."""
        assert self.status == 1, self
        assert len(self.err.splitlines()) == 1, self.err
        assert self.err.startswith(f"mclu: {node}: "), self.err
        assert [word for word in words if word not in self.err] == [], self.err
        assert self.seconds < LIMIT_S


def mclu(lab: RealLab, *words: str, stdin: str | None = None, timeout: float = 60) -> Result:
    """Run mclu as the operator."""
    start = time.monotonic()
    completed = lab.run("mclu", *words, input=stdin, timeout=timeout)
    return Result(completed.returncode, completed.stdout, completed.stderr, time.monotonic() - start)


def mclu_parallel(lab: RealLab, *lines: str) -> list[Result]:
    """Run several mclu commands at the same time."""
    with ThreadPoolExecutor(len(lines)) as pool:
        return list(pool.map(lambda line: mclu(lab, *line.split()), lines))


@contextlib.contextmanager
def background(lab: RealLab, *words: str, program: str | None = "mclu") -> Iterator[subprocess.Popen[str]]:
    """Run mclu, or another command, in the background and in its own process group; it ends with the block."""
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


def wait_until(condition: Callable[[], object], seconds: float = LIMIT_S) -> None:
    """Poll a condition until it is true, and fail after a timeout."""
    start = time.monotonic()
    while not condition():
        waited = time.monotonic() - start
        assert waited < seconds, f"not true within {seconds:g} s"
        # A guest that boots for a minute needs the processors itself.
        time.sleep(min(0.01 + waited / 10, 0.5))


def sockets(lab: RealLab) -> list[Path]:
    """Return the private sockets of the running mclu processes."""
    return list((lab.path / "run").glob("mclu-*/*.sock"))


def runtime_directories(lab: RealLab) -> list[Path]:
    """Return the runtime directories of mclu processes, running or killed."""
    return list((lab.path / "run").glob("mclu-*"))


def count_logins(lab: RealLab, node: str) -> int:
    """Count the logins on a node since it booted."""
    return lab.run("cat", "/var/log/sshd", node=node).stdout.count("Accepted publickey")


def is_on(lab: RealLab, *nodes: str) -> bool:
    """Return whether nodes are on, according to the lab."""
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
    """Run virsh on a node, and return its output."""
    completed = lab.run("virsh", "-q", *words, node=node)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def describe_guest(lab: RealLab, node: str, name: str, memory_mib: int = 64, vcpus: int = 1) -> str:
    """Write the XML of a guest to a file on a node, and return its path."""
    path = f"/tmp/{name}.xml"
    lab.run("tee", path, node=node, input=_DOMAIN.format(name=name, memory_mib=memory_mib, vcpus=vcpus))
    return path


def run_guest(lab: RealLab, node: str, name: str, memory_mib: int = 64, vcpus: int = 1) -> None:
    """Start a transient guest without disk and kernel on a node, unless it runs."""
    running = virsh(lab, node, "list", "--name").split()
    if name not in running:
        virsh(lab, node, "create", describe_guest(lab, node, name, memory_mib, vcpus))


def end_guests(lab: RealLab, *nodes: str) -> None:
    """Destroy the running guests of nodes."""
    for node in nodes:
        for name in virsh(lab, node, "list", "--name").split():
            virsh(lab, node, "destroy", name)


def python(lab: RealLab, code: str, *words: str) -> str:
    """Run Python as the operator, with mclu_shell importable, and return its output."""
    completed = lab.run(sys.executable, "-c", code, *words)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout
