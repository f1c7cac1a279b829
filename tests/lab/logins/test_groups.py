"""One `ssh -G` for several nodes: its result is the same as that of an own one for each node."""

import sys
from pathlib import Path

import pytest

from tests.lab.logins.runner import Runner

_COMPARE = """
import sys
from pathlib import Path
from mclu_shell.cloud.transport.openssh.config import SSHConfig
from mclu_shell.config import parse_config
config = parse_config("[nodes]\\n" + "\\n".join(sys.argv[1:]), Path("mclu.conf"))
together = SSHConfig()
for node in config.nodes:
    shared, own = (ssh.resolve(node)._replace(control_path="") for ssh in (together, SSHConfig()))
    for field in own._fields:
        if getattr(shared, field) != getattr(own, field):
            print(node.name, field, getattr(shared, field), getattr(own, field))
"""
_RUN = 'mount --bind "$1" "$HOME"; shift; exec "$@"'


@pytest.mark.parametrize(
    "config",
    [
        "",
        "Host ham*\n  HostName ham1",
        "Host ham*\n  HostName HAM1",
        "Host ham1\n  User a\nHost *\n  User b",
        "Host ham? !ham2\n  Port 23",
        "Host ham[12]\n  User a",
        "Host HAM1\n  User a",
        'Host "ham1" ham2\n  User a',
        "Host=ham1\n  User=a",
        "Host\tham1\n\tUser\ta",
        "Host ham1 # ham2\n  User a",
        "Host ham1,ham2\n  User a",
        "Match originalhost ham1\n  User a",
        "Match host ham1,ham2\n  User a",
        "Include more",
        "Include ~/.ssh/mo*",
        "Include ${HOME}/.ssh/more",
        "Host ham2\n  Include more",
        "Host ham*\n  HostName %h.lan",
        "Host *.lan\n  User a\nHost *\n  HostName ham1",
        "CanonicalizeHostname always\nCanonicalDomains lan\nHost *.lan\n  User a",
        "Host ham1\n  ProxyJump ham0",
        "Host ham*\n  IdentityFile ~/.ssh/%n",
        "Host ham*\n  ControlPath ~/.ssh/%C\n  HostKeyAlias ham",
    ],
)
def test_nodes_share_a_result_only_if_it_is_theirs(runner: Runner, tmp_path: Path, config: str) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text(f"{config}\n")
    (tmp_path / ".ssh/more").write_text("Host ham1\n  User a\n")
    nodes = ["ham1", "ham2", "ham3", "ham0.lan", "ham4 user=c", "other address=10.73.0.1", "ham2.lan port=24"]
    command = ["unshare", "--mount", "sh", "-c", _RUN, "sh", str(tmp_path), sys.executable, "-c", _COMPARE]
    for names in (nodes, nodes[::-1]):
        completed = runner.lab.run(*command, *names)
        assert (completed.stdout, completed.returncode) == ("", 0), completed.stdout + completed.stderr
