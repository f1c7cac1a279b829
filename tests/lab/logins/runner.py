"""The runner of set-ups in one lab, several at a time."""

import itertools
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from tests.lab.logins.keys import make_keys
from tests.lab.logins.setups import Outcome, SetUp
from tests.lab.support.lab import RealLab, environment

_SCRIPTS = Path(__file__).parent / "programs"
_AT_A_TIME = 4
_TIMEOUT_S = 40.0
_SSHD = """\
{own}
{host_key}
ListenAddress {address}
PidFile /run/{number}/pid
AuthorizedKeysFile /run/{number}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
LogLevel VERBOSE
"""


class Runner:
    """Runs set-ups in a lab whose node ham1 has no sshd but theirs."""

    def __init__(self, lab: RealLab) -> None:
        self.lab = lab
        self._numbers = itertools.count(1)
        self._outcomes: dict[SetUp, Future[Outcome]] = {}
        self._ended: dict[str, threading.Event] = {}
        make_keys(lab)
        self._shell = subprocess.Popen(
            lab.command("sh"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )
        threading.Thread(target=self._read, daemon=True).start()
        self._pool = ThreadPoolExecutor(_AT_A_TIME)
        states = (line.split() for line in (lab.path / "state").read_text().splitlines())
        self._node_pid = next(pid for node, pid, *_ in states if node == "ham1")

    def begin(self, setups: list[SetUp]) -> None:
        """Run set-ups in the background, in this order."""
        for setup in setups:
            if setup not in self._outcomes:
                self._outcomes[setup] = self._pool.submit(self._run, setup)

    def outcome(self, setup: SetUp) -> Outcome:
        """Return the outcome of a set-up; a second call runs it again."""
        self.begin([setup])
        return self._outcomes.pop(setup).result()

    def close(self) -> None:
        """End the shell in the lab."""
        self._pool.shutdown(cancel_futures=True)
        assert self._shell.stdin
        self._shell.stdin.close()
        self._shell.wait()

    def _run(self, setup: SetUp) -> Outcome:
        number = next(self._numbers)
        directory = self.lab.path / f"w/{number}"
        directory.mkdir(parents=True)
        for name, text in self._files(setup, number, directory).items():
            (directory / name).write_text(text)
        ended = self._ended[str(number)] = threading.Event()
        self._send(f"( sh {_SCRIPTS}/run.sh {directory} >{directory}/errors 2>&1; echo {number} ) &")
        assert ended.wait(_TIMEOUT_S), f"{setup.name}: timeout: {(directory / 'errors').read_text()}"
        errors = (directory / "errors").read_text()
        assert (directory / "log").exists(), f"{setup.name}: {errors}"
        return _outcome(directory)

    def _files(self, setup: SetUp, number: int, directory: Path) -> dict[str, str]:
        address = f"10.73.{100 + number // 250}.{1 + number % 250}"
        nodes, own = self.lab.path / "nodes/ham1/run", f"{setup.sshd}\n"
        here: dict[str, object] = {"LAB": self.lab.path, "W": directory, "K": nodes / "keys", "S": nodes / str(number)}
        here |= {"NUMBER": number, "ADDRESS": address, "HERE": _SCRIPTS, "PYTHON": sys.executable}
        settings = here | {"NODE_PID": self._node_pid}
        settings |= {"SSH_OPTIONS": _replaced(setup.options, here)}
        settings |= {"SSH_COMMAND": setup.command, "MCLU_COMMAND": setup.mclu}
        host_key = "" if "HostKey" in own else "HostKey /run/keys/host_ed25519"
        on_node: dict[str, object] = {"S": f"/run/{number}", "K": "/run/keys", "NUMBER": number}
        return {
            "settings": "".join(f"{name}='{value}'\n" for name, value in settings.items()),
            "sshd_config": _replaced(_SSHD.format(own=own, host_key=host_key, address=address, number=number), on_node),
            "config": f"{_replaced(setup.config, here)}\n",
            "files": f"{setup.files}\n",
            "start": f"{setup.start}\n",
            "after": f"{setup.after}\n",
            "mclu.conf": f"[nodes]\nbox {_replaced(setup.node, here)}\n",
        }

    def _send(self, line: str) -> None:
        assert self._shell.stdin
        self._shell.stdin.write(f"{line}\n")
        self._shell.stdin.flush()

    def _read(self) -> None:
        assert self._shell.stdout
        for line in self._shell.stdout:
            self._ended[line.strip()].set()


def _outcome(directory: Path) -> Outcome:
    def read(name: str) -> str:
        return (directory / name).read_text(errors="replace")

    known_hosts = directory / "home-mclu/.ssh/known_hosts"
    return Outcome(
        int(read("ssh.status")),
        read("ssh.err"),
        int(read("mclu.status")),
        read("mclu.out"),
        read("mclu.err"),
        read("log"),
        known_hosts.read_text(errors="replace") if known_hosts.is_file() else "",
        read("left"),
        int(read("after.status")),
        read("after.log"),
    )


def _replaced(text: str, values: Mapping[str, object]) -> str:
    """Replace the variables that stand for these values."""
    for name, value in values.items():
        text = re.sub(rf"\${name}\b", str(value), text)
    return text
