import getpass
import os
import pwd
import shlex
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import pytest

from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.cloud.transport.openssh.config import SSHConfig, Target, parse_settings
from mclu_shell.config import NodeConfig
from mclu_shell.errors import Unreachable

HAM0 = NodeConfig("ham0")
HOME = Path(pwd.getpwuid(os.getuid()).pw_dir)

# The output of `ssh -G` of OpenSSH 9.2 without configuration, shortened.
ANSWER = """\
host ham0
user op
hostname ham0
port 22
identitiesonly no
identityfile ~/.ssh/id_rsa
identityfile ~/.ssh/id_ed25519
globalknownhostsfile /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2
userknownhostsfile /home/op/.ssh/known_hosts /home/op/.ssh/known_hosts2
"""


def resolve(node: NodeConfig) -> Target:
    return SSHConfig().resolve(node)


def read(*more: str, node: NodeConfig = HAM0) -> Target:
    """Return the target of an output of `ssh -G`; the lines given here come first and so replace others."""
    keys = {line.split()[0] for line in more}
    kept = [line for line in ANSWER.splitlines() if line.split()[0] not in keys]
    return parse_settings(node, "\n".join([*more, *kept]) + "\n")


class TestRealSSH:
    def test_a_name_alone_is_enough(self) -> None:
        target = resolve(HAM0)
        assert (target.node, target.host) == ("ham0", "ham0")
        assert target.port == 22
        assert target.identities
        assert any(path.name == "known_hosts" for path in target.known_hosts)
        assert target.login == f"'ssh {target.user}@ham0'"

    def test_mclu_conf_overrides_ssh_config(self) -> None:
        target = resolve(NodeConfig("ham0", address="10.0.0.7", user="op", port=2222))
        assert (target.host, target.user, target.port) == ("10.0.0.7", "op", 2222)
        assert target.login == "'ssh -o HostName=10.0.0.7 -p 2222 op@ham0'"

    @pytest.mark.parametrize("name", ["/keys/one", "/my keys/one", "/keys/a#b", "/keys/a'b", '/keys/a"b', "/keys/a\\b"])
    def test_an_identity_of_mclu_conf_is_the_only_one(self, name: str) -> None:
        target = resolve(NodeConfig("ham0", identity=name))
        assert (target.identities, target.identities_only) == ((Path(name),), True)

    def test_an_identity_may_be_at_home(self) -> None:
        assert resolve(NodeConfig("ham0", identity="~/key")).identities == (HOME / "key",)

    @pytest.mark.parametrize("address", ["::1", "fe80::1%eth0"])
    def test_an_ipv6_address_may_have_a_scope(self, address: str) -> None:
        assert resolve(NodeConfig("ham0", address=address)).host == address

    def test_a_missing_ssh_is_reported(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(Unreachable) as caught:
            resolve(HAM0)
        assert str(caught.value) == "ham0: ssh is not installed on this machine; install the OpenSSH client"

    def test_an_error_of_ssh_is_reported_in_its_words(self, program: Callable[[str], Path]) -> None:
        program("echo '/etc/ssh/ssh_config line 3: Bad configuration' >&2; echo 'giving up' >&2; exit 255")
        with pytest.raises(Unreachable) as caught:
            resolve(HAM0)
        assert str(caught.value).startswith("ham0: ssh: /etc/ssh/ssh_config line 3: Bad configuration; run 'ssh -G")

    def test_nodes_that_ssh_does_not_distinguish_share_one_call(self, program: Callable[[str], Path]) -> None:
        count = program('echo x >>$0.count; exec {ssh} "$@"').with_name("ssh.count")
        config = SSHConfig()
        nodes = [
            NodeConfig("ham0"),
            NodeConfig("ham1", address="10.0.0.7"),
            NodeConfig("ham2"),
            NodeConfig("x", user="u"),
        ]
        targets = [outcome.unwrap() for outcome in gather(nodes, config.resolve)]
        assert [(target.node, target.host) for target in targets] == [
            ("ham0", "ham0"), ("ham1", "10.0.0.7"), ("ham2", "ham2"), ("x", "x"),
        ]  # fmt: skip
        # One call for ham0 and ham2, one for the node with an address, one for the other user.
        assert len(count.read_text().splitlines()) == 3

    @pytest.mark.parametrize(
        ("script", "message"),
        [
            ("exit 1", "ssh: ssh -G failed"),
            ("echo port x", "ssh -G printed 'x' instead of a number"),
            (None, "cannot run ssh: Permission denied"),
        ],
    )
    def test_a_failed_call_is_an_error_for_each_node_of_its_group(
        self, program: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, script: str | None, message: str
    ) -> None:
        ssh = program(script or "")
        if script is None:
            ssh.chmod(0o644)
            monkeypatch.setenv("PATH", str(ssh.parent))
        config = SSHConfig()
        nodes = [NodeConfig("ham0"), NodeConfig("ham1")]
        failed: SimpleQueue[str] = SimpleQueue()
        for node in nodes:
            threading.Thread(target=note_failure, args=(config, node, failed), daemon=True).start()
        messages = {failed.get(timeout=10) for _ in nodes}
        assert messages == {f"{node.name}: {message}" for node in nodes}


def note_failure(config: SSHConfig, node: NodeConfig, failed: "SimpleQueue[str]") -> None:
    try:
        config.resolve(node)
    except Unreachable as fault:
        failed.put(f"{fault.place}: {fault.fact}")
    except ValueError:
        failed.put("defect")


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that puts a shell script in place of ssh."""
    real = shutil.which("ssh")

    def make(script: str) -> Path:
        directory = tmp_path / "bin"
        directory.mkdir()
        ssh = directory / "ssh"
        ssh.write_text("#!/bin/sh\n" + script.replace("{ssh}", str(real)) + "\n")
        ssh.chmod(0o755)
        monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
        return ssh

    return make


class TestOutputOfSSH:
    def test_known_hosts_are_the_users_then_the_systems(self) -> None:
        names = [str(path) for path in read().known_hosts]
        assert names[0] == "/home/op/.ssh/known_hosts"
        assert names[-1] == "/etc/ssh/ssh_known_hosts2"

    def test_home_is_that_of_the_passwd_entry_as_for_ssh(self, tmp_path: Path) -> None:
        assert os.environ["HOME"] == str(tmp_path)
        target = read("userknownhostsfile ~/a %d/b", "identityfile ~/%h", "identityfile %d/k")
        assert target.known_hosts[:2] == (HOME / "a", HOME / "b")
        assert target.identities == (HOME / "ham0", HOME / "k")

    @pytest.mark.parametrize(
        ("token", "value"),
        [
            ("%h", "10.0.0.7"),
            ("%n", "ham0"),
            ("%p", "2222"),
            ("%r", "op"),
            ("%%", "%"),
            ("%%h", "%h"),
            ("%u", getpass.getuser()),
            ("%i", str(os.getuid())),
            ("%k", "the-alias"),
            ("%x", "%x"),
        ],
    )
    def test_percent_tokens_are_expanded(self, token: str, value: str) -> None:
        target = read("hostname 10.0.0.7", "port 2222", "hostkeyalias the-alias", f"identityfile /k/{token}")
        assert target.identities == (Path(f"/k/{value}"),)

    def test_values_are_not_expanded_again(self) -> None:
        assert read("user %h", "identityfile /k/%r").identities == (Path("/k/%h"),)

    def test_a_host_key_alias_is_read(self) -> None:
        assert read().host_key_name == ""
        assert read("hostkeyalias ham").host_key_name == "ham"

    def test_the_agent_is_that_of_the_environment_or_another_one_or_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert read().agent == ""
        monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
        monkeypatch.setenv("OTHER", "/run/other")
        assert read().agent == "/run/agent"
        assert read("identityagent SSH_AUTH_SOCK").agent == "/run/agent"
        assert read("identityagent none").agent == ""
        assert read("identityagent ~/agent").agent == str(HOME / "agent")
        assert read("identityagent $OTHER").agent == "/run/other"


class TestProxy:
    def test_no_proxy_is_used_by_default(self) -> None:
        assert read().proxy == ""
        assert read("proxycommand none", "proxyjump none").proxy == ""

    def test_a_command_has_its_tokens_expanded(self) -> None:
        target = read("proxycommand nc -X 5 %h %p %%", "hostname 10.0.0.7", "port 2222")
        assert target.proxy == "nc -X 5 10.0.0.7 2222 %"

    def test_ssh_itself_connects_through_a_jump_host(self) -> None:
        target = read("proxyjump op@gate:2200", "hostname fe80::7")
        words = shlex.split(target.proxy)
        assert words[0] == "ssh"
        assert words[words.index("-W") + 1] == "[fe80::7]:22"
        assert words[-2:] == ["--", "ssh://op@gate:2200"]
        assert "-J" not in words

    def test_several_jump_hosts_keep_their_order(self) -> None:
        words = shlex.split(read("proxyjump a,b:22,ssh://c").proxy)
        assert words[words.index("-J") + 1] == "a,b:22"
        assert words[-1] == "ssh://c"

    def test_a_jump_host_is_quoted_for_the_shell(self) -> None:
        assert shlex.split(read("proxyjump $(reboot);x").proxy)[-1] == "ssh://$(reboot);x"
