"""Set-ups of ssh, sshd and the login on a node, in each of which `ssh box true` and `mclu status box` must agree."""

import re
from dataclasses import dataclass

import pytest

_LOGGED_IN = r"box on\n  total: .*\n  free: .*\n"
_REFUSED = r"box (on, ssh: .*|on, not answering.*|unknown, .*|off)\n"


@dataclass(frozen=True, slots=True)
class SetUp:
    """One set-up. The node is called box, and has an sshd of its own.

    `files` and `start` are lines for sh: the first prepare the files in ~/.ssh, the current directory, and the second
    start agents and the like beside the logins. $K is a directory of keys, $S the sshd's own one, $W the set-up's.
    """

    name: str
    # The outcome of ssh.
    logs_in: bool
    # ~/.ssh/config.
    config: str = ""
    sshd: str = ""
    files: str = ""
    start: str = ""
    # The options of box in mclu.conf, and those of ssh that correspond to them.
    node: str = ""
    options: str = ""
    # Words in mclu's output that tell what else has failed, after a login or instead of one.
    says: str = ""
    # Lines for sh that succeed if all is well after the logins.
    after: str = ""
    # The command on the node, and that of mclu.
    command: str = "true"
    mclu: str = "status"
    # False if ssh logs in, but cannot run the command.
    runs: bool = True

    @property
    def id(self) -> str:
        """The name of the test."""
        return re.sub(r"[^A-Za-z0-9@*.=+-]+", "-", self.name).strip("-")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outputs of ssh and mclu, and the log of sshd."""

    ssh_status: int
    ssh_err: str
    mclu_status: int
    mclu_out: str
    mclu_err: str
    log: str
    # The known_hosts file after the login of mclu.
    known_hosts: str = ""
    # The processes that mclu has left behind.
    left: str = ""
    # The status and the messages of the check afterwards.
    after_status: int = 0
    after: str = ""

    def __str__(self) -> str:
        messages = [line for line in self.ssh_err.splitlines() if not line.startswith("debug")]
        parts = [f"ssh: exit status {self.ssh_status}", *messages, f"mclu: exit status {self.mclu_status}"]
        return "\n".join([*parts, self.mclu_out, self.mclu_err, "sshd:", self.log])

    def ssh_logs_in(self, setup: SetUp) -> bool:
        """Return whether ssh has logged in."""
        if setup.runs:
            return self.ssh_status == 0
        return "Authenticated to " in self.ssh_err

    def check(self, setup: SetUp) -> None:
        """Assert that ssh does what the set-up is for, and that mclu does the same."""
        assert self.ssh_logs_in(setup) == setup.logs_in, f"expected {setup.logs_in}: {self}"
        assert "Traceback" not in self.mclu_err, self.mclu_err
        assert len(self.mclu_err.splitlines()) <= 1, self.mclu_err
        assert self.left == "", self.left
        assert self.after_status == 0, f"{setup.after}: {self.after}"
        if setup.mclu != "status":
            return self._check_words(setup)
        if setup.logs_in and not setup.says:
            assert re.fullmatch(_LOGGED_IN, self.mclu_out), str(self)
            assert (self.mclu_status, self.mclu_err) == (0, ""), str(self)
        elif not setup.logs_in:
            assert re.fullmatch(_REFUSED, self.mclu_out), str(self)
            assert self.mclu_status == (0 if self.mclu_out == "box off\n" else 1), str(self)
        return self._check_words(setup)

    def _check_words(self, setup: SetUp) -> None:
        assert setup.says in self.mclu_out + self.mclu_err, str(self)


def table(*setups: SetUp) -> pytest.MarkDecorator:
    """Return the decorator of a test that runs once with each set-up."""
    names = [setup.id for setup in setups]
    assert len(set(names)) == len(names), "two set-ups have the same name"
    return pytest.mark.parametrize("setup", setups, ids=names)
