"""A lab of real nodes for tests; each call runs a command of scripts/lab."""

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
# The interpreter of the tests, and scripts/lab.
OWN = (sys.executable, str(REPOSITORY / "scripts/lab"))
Completed = subprocess.CompletedProcess[str]
_numbers = itertools.count()


def environment() -> dict[str, str]:
    """Return an environment with the mclu under test first on the PATH."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"}


def execute(command: Sequence[str], *, stdin: str | None = None, timeout: float = 60) -> Completed:
    """Run a command in the environment of the tests."""
    return subprocess.run(
        command,
        **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}),
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )


def skip(reason: str) -> NoReturn:
    """Skip the test; fail it in CI, where a skipped test would go unnoticed."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def require_lab(words: Sequence[str] = OWN) -> None:
    """Skip the test if no lab can run here; fail it in CI."""
    completed = execute([*words, "can"])
    if completed.returncode != 0:
        skip(completed.stderr.strip())


class RealLab:
    """A lab, which ends at the latest with the process of the tests."""

    def __init__(self, count: int, *, on: int | None = None, words: Sequence[str] = OWN) -> None:
        self.name = f"test-{os.getpid()}-{next(_numbers)}"
        self._words = tuple(words)
        self.call("up", str(count), "--on", str(count if on is None else on), "--parent", str(os.getpid()))
        self.path = Path(self.call("path").stdout.strip())

    def set_global(self, setting: str) -> None:
        """Add a setting to the defaults of mclu.conf; the fixture `ssh_files` restores the file."""
        config = self.path / "mclu.conf"
        config.write_text(config.read_text().replace("[global]", f"[global]\n{setting}"))

    def try_call(self, verb: str, *argv: str) -> Completed:
        """Run a command of scripts/lab that may fail."""
        return execute([*self._words, verb, "--name", self.name, *argv])

    def call(self, verb: str, *argv: str) -> Completed:
        """Run a command of scripts/lab, and assert that it succeeds."""
        completed = self.try_call(verb, *argv)
        assert completed.returncode == 0, f"lab {verb} {' '.join(argv)}: {completed.stderr}"
        return completed

    def command(self, *argv: str, node: str | None = None) -> list[str]:
        """Return the words that run a command on the LAN or inside a node, for example in a pseudo-terminal."""
        inside = [] if node is None else ["--node", node]
        return [*self._words, "exec", "--name", self.name, *inside, "--", *argv]

    def run(
        self,
        *argv: str,
        node: str | None = None,
        input: str | None = None,  # noqa: A002 – as subprocess.run calls it.
        timeout: float = 60,
    ) -> Completed:
        """Run a command as the operator on the LAN, or as root inside a node."""
        return execute(self.command(*argv, node=node), stdin=input, timeout=timeout)

    def python(self, code: str, *argv: str) -> str:
        """Run Python on the LAN, and return its output."""
        completed = self.run(self._words[-2], "-c", code, *argv)
        assert completed.returncode == 0, completed.stderr
        return completed.stdout.strip()

    def on(self, *nodes: str) -> None:
        """Press the power buttons of nodes, and wait until the nodes answer."""
        self.call("on", *nodes)

    def off(self, *nodes: str) -> None:
        """Cut the power of nodes."""
        self.call("off", *nodes)

    def wait(self, state: str, *nodes: str) -> None:
        """Wait until nodes are "on" and answer, or are "off"."""
        self.call("wait", state, *nodes)

    def freeze(self, node: str, *, libvirtd: bool = False) -> None:
        """Stop all processes of a node, or only its libvirtd, with SIGSTOP."""
        self.call("freeze", node, *(["--libvirtd"] if libvirtd else []))

    def thaw(self, node: str, *, libvirtd: bool = False) -> None:
        """Continue a frozen node, or its libvirtd."""
        self.call("thaw", node, *(["--libvirtd"] if libvirtd else []))

    def rekey(self, node: str) -> None:
        """Give a node a new host key; the operator's known_hosts keeps the old one."""
        self.call("rekey", node)

    def forget(self, node: str) -> None:
        """Remove a node from the operator's known_hosts."""
        self.call("forget", node)

    def remember(self, *nodes: str) -> None:
        """Add the present host keys of nodes to the operator's known_hosts."""
        self.call("remember", *nodes)

    def lose(self, node: str, packets: int = 1) -> None:
        """Drop the next packets that would open a TCP connection to a node."""
        self.call("lose", node, str(packets))

    def states(self) -> dict[str, str]:
        """Return the state of each node, in words."""
        return dict(line.split(maxsplit=1) for line in self.call("list").stdout.splitlines())

    def power(self, on: Sequence[str]) -> None:
        """Switch these nodes on and all others off, thaw them, lose no packets, and know all host keys."""
        states = self.states()
        self.remember(*states)
        running = [node for node, words in states.items() if words != "off"]
        if frozen := [node for node in running if "frozen" in states[node]]:
            self.call("thaw", *frozen)
        if unwanted := [node for node in running if node not in on]:
            self.off(*unwanted)
        if on:
            self.on(*on)
        for node in on:
            self.lose(node, 0)

    def down(self) -> None:
        """End the lab."""
        self.call("down")
