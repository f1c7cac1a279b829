"""A lab of real nodes, as tests use it: every call is a command of scripts/lab."""

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
# An interpreter and scripts/lab, as whoever runs the tests uses them.
OWN = (sys.executable, str(REPOSITORY / "scripts/lab"))
Done = subprocess.CompletedProcess[str]
_numbers = itertools.count()


def environment() -> dict[str, str]:
    """Return an environment in which the mclu under test is the one that is found."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"}


def execute(command: Sequence[str], *, given: str | None = None, timeout: float = 60) -> Done:
    """Run a command in that environment."""
    return subprocess.run(
        command,
        **({"stdin": subprocess.DEVNULL} if given is None else {"input": given}),
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )


def why_not(words: Sequence[str] = OWN) -> str:
    """Return why no lab can be run here, or an empty string."""
    done = execute([*words, "can"])
    return done.stderr.strip() if done.returncode else ""


class RealLab:
    """One lab, which ends at the latest with the process of the tests."""

    def __init__(self, count: int, *, on: int | None = None, words: Sequence[str] = OWN) -> None:
        self.name = f"test-{os.getpid()}-{next(_numbers)}"
        self._words = tuple(words)
        self.lab("up", str(count), "--on", str(count if on is None else on), "--parent", str(os.getpid()))
        self.path = Path(self.lab("path").stdout.strip())

    def attempt(self, verb: str, *argv: str) -> Done:
        """Run a command of scripts/lab, which may fail."""
        return execute([*self._words, verb, "--name", self.name, *argv])

    def lab(self, verb: str, *argv: str) -> Done:
        """Run a command of scripts/lab, which has to succeed."""
        done = self.attempt(verb, *argv)
        assert done.returncode == 0, f"lab {verb} {' '.join(argv)}: {done.stderr}"
        return done

    def command(self, *argv: str, node: str | None = None) -> list[str]:
        """Return the words that run a command on the LAN or inside a node: for a pseudo-terminal."""
        inside = [] if node is None else ["--node", node]
        return [*self._words, "exec", "--name", self.name, *inside, "--", *argv]

    def run(
        self,
        *argv: str,
        node: str | None = None,
        input: str | None = None,  # noqa: A002 – as subprocess.run calls it.
        timeout: float = 60,
    ) -> Done:
        """Run a command as the operator on the LAN, or inside a node."""
        return execute(self.command(*argv, node=node), given=input, timeout=timeout)

    def python(self, code: str, *argv: str) -> str:
        """Run Python on the LAN, and return what it prints."""
        done = self.run(self._words[-2], "-c", code, *argv)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def on(self, *nodes: str) -> None:
        """Press power buttons, and return when the nodes answer."""
        self.lab("on", *nodes)

    def off(self, *nodes: str) -> None:
        """Pull plugs."""
        self.lab("off", *nodes)

    def wait(self, state: str, *nodes: str) -> None:
        """Return when nodes are "on" and answer, or are "off", by whatever cause."""
        self.lab("wait", state, *nodes)

    def freeze(self, node: str, *, libvirtd: bool = False) -> None:
        """Stop a node, or its libvirtd only."""
        self.lab("freeze", node, *(["--libvirtd"] if libvirtd else []))

    def thaw(self, node: str, *, libvirtd: bool = False) -> None:
        """Let it go on."""
        self.lab("thaw", node, *(["--libvirtd"] if libvirtd else []))

    def rekey(self, node: str) -> None:
        """Give a node a new host key, which the operator does not know."""
        self.lab("rekey", node)

    def forget(self, node: str) -> None:
        """Take a node out of the operator's known_hosts."""
        self.lab("forget", node)

    def lose(self, node: str, packets: int = 1) -> None:
        """Drop the next packets that would open a TCP connection to a node."""
        self.lab("lose", node, str(packets))

    def states(self) -> dict[str, str]:
        """Return each node's state in words."""
        return dict(line.split(maxsplit=1) for line in self.lab("list").stdout.splitlines())

    def power(self, on: Sequence[str]) -> None:
        """Have these nodes on and no others, nothing frozen, no packets lost and all keys known."""
        states = self.states()
        self.lab("remember", *states)
        running = [node for node, words in states.items() if words != "off"]
        if frozen := [node for node in running if "frozen" in states[node]]:
            self.lab("thaw", *frozen)
        if unwanted := [node for node in running if node not in on]:
            self.off(*unwanted)
        if on:
            self.on(*on)
        for node in on:
            self.lose(node, 0)

    def down(self) -> None:
        """End the lab."""
        self.lab("down")
