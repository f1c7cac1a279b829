"""Transports to a node: SSH configuration, mclu.conf, keys and agents, jump hosts, and the local machine."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.support.cli import Result, is_on, mclu, mclu_parallel, run_guest, wait_until
from tests.lab.support.lab import RealLab

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("ssh_files")]

ON = r"{} on\n  total: \d+pcpus \S+\n  free: \S+\n"
JUMP = "Host ham1\n  ProxyJump ham0\n"


def _assert_on(result: Result, node: str) -> None:
    assert (result.status, result.err) == (0, "")
    assert re.match(ON.format(node), result.out), result.out


def _configure(lab: RealLab, *lines: str) -> None:
    """Write the nodes of mclu.conf."""
    (lab.path / "mclu.conf").write_text("[nodes]\n" + "\n".join(lines) + "\n")


def _address(lab: RealLab, node: str) -> str:
    return lab.run("getent", "hosts", node).stdout.split()[0]


def _key(lab: RealLab, node: str) -> str:
    """Return the host key of a node as in known_hosts."""
    return lab.run("cut", "-d ", "-f1,2", "/etc/ssh/ssh_host_ed25519_key.pub", node=node).stdout.strip()


def _other_sshd(lab: RealLab, *options: str) -> None:
    """Run a second sshd on ham1, at port 2222, in place of that of an earlier test, until ham1 is switched off."""
    stop = "[ ! -e /run/sshd2.pid ] || { read -r pid </run/sshd2.pid; kill $pid; tail --pid=$pid -f /dev/null; }"
    assert lab.run("sh", "-c", stop, node="ham1").returncode == 0
    lab.run("/usr/sbin/sshd", "-p", "2222", "-E", "/tmp/sshd", "-o", "PidFile=/run/sshd2.pid", *options, node="ham1")
    wait_until(lambda: "Server listening" in lab.run("cat", "/tmp/sshd", node="ham1").stdout)


def _add_user(lab: RealLab) -> None:
    """Add the ordinary user "op" with root's authorized keys to ham1, until it is switched off."""
    script = (
        "cp /etc/passwd /tmp/passwd && echo op:x:1000:1000::/tmp/op:/bin/sh >>/tmp/passwd && "
        "mount --bind /tmp/passwd /etc/passwd && mkdir -p /tmp/op && cp -r /root/.ssh /tmp/op && "
        "chown -R 1000:1000 /tmp/op && chmod -R go= /tmp/op"
    )
    assert lab.run("sh", "-c", script, node="ham1").returncode == 0


# SSH configuration and mclu.conf


def test_ssh_config_sets_host_name_port_user_and_key(lab: RealLab, ssh_files: Path) -> None:
    _configure(lab, "web-box", "ham0")
    _other_sshd(lab)
    (ssh_files / "id_ed25519").rename(ssh_files / "special")
    (ssh_files / "id_ed25519.pub").unlink()
    (ssh_files / "config").write_text(
        f"Include more\nHost ham0\n  IdentityFile {ssh_files}/special\n",
    )
    (ssh_files / "more").write_text(
        "Host web-*\n  HostName ham1\n  Port 2222\n  User root\n  IdentityFile ~/.ssh/special\n"
    )
    # Like ssh, mclu accepts the host key of port 22 at another port.
    _assert_on(mclu(lab, "status"), "web-box")
    lab.forget("ham1")
    mclu(lab, "status", "web-box").assert_error("web-box", "host key not known", "'ssh root@web-box'")
    known = ssh_files / "known_hosts"
    known.write_text(known.read_text() + f"[ham1]:2222 {_key(lab, 'ham1')}\n")
    _assert_on(mclu(lab, "status"), "web-box")
    assert lab.run("ssh", "web-box", "hostname").stdout == "ham1\n"


def test_mclu_conf_sets_address_port_user_and_key(lab: RealLab, ssh_files: Path) -> None:
    address = _address(lab, "ham1")
    _other_sshd(lab)
    (ssh_files / "id_ed25519").rename(ssh_files / "special")
    (ssh_files / "config").write_text("Host box\n  Port 1\n  HostName nowhere\n  User other\n")
    lab.forget("ham1")
    _configure(lab, f"box address={address} port=2222 user=root identity={ssh_files}/special")
    result = mclu(lab, "status")
    result.assert_error("box", "host key not known")
    # The suggested command connects to the same sshd.
    suggestion = re.search(r"run '(ssh .*)' once", result.err)
    assert suggestion
    words = suggestion[1].split()
    completed = lab.run(*words[:-1], "-o", "StrictHostKeyChecking=accept-new", words[-1], "hostname")
    assert completed.stdout == "ham1\n", completed.stderr
    _assert_on(mclu(lab, "status"), "box")


@pytest.mark.parametrize("line", ["ham1", "[ham1]:2222"])
def test_a_hashed_host_key_is_recognized(lab: RealLab, ssh_files: Path, line: str) -> None:
    known = ssh_files / "known_hosts"
    known.write_text(f"{line} {_key(lab, 'ham1')}\n")
    assert lab.run("ssh-keygen", "-H", "-f", str(known)).returncode == 0
    assert known.read_text().startswith("|1|")
    if "2222" in line:
        _other_sshd(lab)
        _configure(lab, "ham1 port=2222")
    _assert_on(mclu(lab, "status", "ham1"), "ham1")


def test_a_changed_host_key_at_another_port_is_reported_with_its_known_hosts_name(
    lab: RealLab, ssh_files: Path
) -> None:
    (ssh_files / "known_hosts").write_text(f"[ham1]:2222 {_key(lab, 'ham0')}\nham1 {_key(lab, 'ham1')}\n")
    _other_sshd(lab)
    _configure(lab, "ham1 port=2222")
    result = mclu(lab, "status")
    result.assert_error("ham1", "host key has CHANGED", '-R "[ham1]:2222"', "'ssh -p 2222 root@ham1'")


def test_host_key_alias_and_address_select_the_known_key(lab: RealLab, ssh_files: Path) -> None:
    """As in ssh, HostKeyAlias is looked up without a port, and a line for a name does not apply to its address."""
    right, wrong = _key(lab, "ham1"), _key(lab, "ham0")
    _other_sshd(lab)
    address = _address(lab, "ham1")
    (ssh_files / "known_hosts").write_text(f"box {wrong}\nold-name {right}\n{address} {right}\n")
    _configure(lab, "box", "other")
    (ssh_files / "config").write_text(
        f"Host box\n  HostName {address}\nHost other\n  HostName ham1\n  Port 2222\n  HostKeyAlias old-name\n"
    )
    result = mclu(lab, "status")
    _assert_on(result, "box")
    assert [line for line in result.lines if not line.startswith(" ")] == ["box on", "other on"]


def test_an_error_in_ssh_config_is_reported_with_its_line(lab: RealLab, ssh_files: Path) -> None:
    (ssh_files / "config").write_text("Host ham1\n  Prot 22\n")
    result = mclu(lab, "status", "ham1")
    result.assert_error("ham1", f"{ssh_files}/config: line 2", "prot")
    assert result.lines[0].startswith("ham1 unknown, ")


def test_a_name_without_an_address_is_reported_with_the_settings_that_add_one(lab: RealLab) -> None:
    _configure(lab, "ham0", "hamx")
    result = mclu(lab, "status")
    result.assert_error("hamx", "cannot resolve 'hamx'", "address=", "HostName")
    assert re.fullmatch(ON.format("ham0") + "hamx unknown, cannot resolve .*\n", result.out)


# Users


def test_an_ordinary_user_can_query_and_gets_missing_rights_reported(lab: RealLab) -> None:
    _configure(lab, "ham1 user=op")
    _add_user(lab)
    lab.run("chmod", "0600", "/run/libvirt/libvirt-sock", node="ham1")
    mclu(lab, "status").assert_error(
        "ham1", "op has no permission for /run/libvirt/libvirt-sock", "usermod -aG libvirt op"
    )
    lab.run("chmod", "0666", "/run/libvirt/libvirt-sock", node="ham1")
    _assert_on(mclu(lab, "status"), "ham1")
    # Without the right to power off, mclu reports the failure.
    result = mclu(lab, "off", "ham1")
    result.assert_error("ham1", "poweroff failed: ", "sudo")
    assert result.out == ""
    assert is_on(lab, "ham1")
    lab.off("ham1")


# Keys


def _lock(lab: RealLab, ssh_files: Path) -> Path:
    """Lock the operator's key with the passphrase "open", and return an unlocked copy."""
    key = ssh_files / "id_ed25519"
    copy = ssh_files / "copy"
    copy.write_bytes(key.read_bytes())
    copy.chmod(0o600)
    assert lab.run("ssh-keygen", "-q", "-p", "-P", "", "-N", "open", "-f", str(key)).returncode == 0
    return copy


@contextlib.contextmanager
def _agent(lab: RealLab, *keys: Path) -> Iterator[str]:
    """Run ssh-agent with keys, and yield its socket."""
    output = lab.run("ssh-agent", "-s").stdout
    match = re.search(r"SSH_AUTH_SOCK=([^;]+);.*SSH_AGENT_PID=(\d+);", output, re.DOTALL)
    assert match, output
    path, pid = match.groups()
    try:
        for key in keys:
            assert lab.run("env", f"SSH_AUTH_SOCK={path}", "ssh-add", "-q", str(key)).returncode == 0
        yield path
    finally:
        lab.run("kill", pid)


def test_a_locked_key_is_reported_until_the_agent_has_it(lab: RealLab, ssh_files: Path) -> None:
    unlocked = _lock(lab, ssh_files)
    result = mclu(lab, "status", "ham[12]")
    result.assert_error("ham1", "Permission denied", f"ssh-add {ssh_files}/id_ed25519", "interactive shell")
    assert result.lines[-1] == "ham2 off"
    with _agent(lab, unlocked) as path:
        # The agent comes from the environment, then from ssh_config.
        completed = lab.run("env", f"SSH_AUTH_SOCK={path}", "mclu", "status", "ham1")
        assert (completed.stdout.splitlines()[0], completed.stderr) == ("ham1 on", "")
        (ssh_files / "config").write_text(f"Host ham1\n  IdentityAgent {path}\n")
        _assert_on(mclu(lab, "status", "ham1"), "ham1")
    # The agent has ended.
    mclu(lab, "status", "ham1").assert_error("ham1", "ssh-add")


def test_a_key_that_only_the_agent_has_is_used(lab: RealLab, ssh_files: Path) -> None:
    others = [ssh_files / f"other{i}" for i in range(3)]
    for other in others:
        assert lab.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)).returncode == 0
    with _agent(lab, *others, ssh_files / "id_ed25519") as path:
        (ssh_files / "id_ed25519").unlink()
        completed = lab.run("env", f"SSH_AUTH_SOCK={path}", "mclu", "status", "ham0", "ham1")
        assert (completed.returncode, completed.stdout.count(" on\n"), completed.stderr) == (0, 2, "")


# Through a jump host


def test_queries_and_power_off_go_through_a_jump_host(lab: RealLab, ssh_files: Path) -> None:
    (ssh_files / "config").write_text(JUMP)
    # Only the jump host has a route to it.
    other_lan = "ip address flush dev eth0; ip address add 10.74.0.2/16 dev eth0"
    assert lab.run("sh", "-c", other_lan, node="ham1").returncode == 0
    lab.run("ip", "address", "add", "10.74.0.1/16", "dev", "eth0", node="ham0")
    _configure(lab, "ham1 address=10.74.0.2")
    known = ssh_files / "known_hosts"
    known.write_text(f"{known.read_text()}10.74.0.2 {_key(lab, 'ham1')}\n")
    run_guest(lab, "ham1", "web")
    result = mclu(lab, "list", "--active")
    assert (result.status, result.out.split()[:2], result.err) == (0, ["ham1:web", "running"], "")
    mclu(lab, "off", "ham1").assert_error("ham1", "web")
    lab.run("virsh", "destroy", "web", node="ham1")
    result = mclu(lab, "off", "ham1")
    assert (result.status, result.out, result.err) == (0, "ham1 off\n", "")
    assert lab.states()["ham1"] == "off"
    # The ssh process to the jump host ends with mclu.
    assert lab.run("pgrep", "-af", "ssh -o").stdout == ""


def test_on_wakes_a_node_behind_a_jump_host(lab: RealLab, ssh_files: Path) -> None:
    lab.off("ham1")
    (ssh_files / "config").write_text(JUMP)
    result = mclu(lab, "status", "ham0", "ham1")
    assert (result.status, result.lines[-1], result.err) == (0, "ham1 off", "")
    result = mclu(lab, "on", "ham1", "--wait")
    assert (result.status, result.lines[1:], result.err) == (0, ["ham1 on"], "")


def test_a_jump_host_that_is_off_is_named_in_the_error(lab: RealLab, ssh_files: Path) -> None:
    lab.off("ham0")
    (ssh_files / "config").write_text(JUMP)
    status, off = mclu_parallel(lab, "status ham[12]", "off ham1")
    status.assert_error("ham1", "cannot connect through ham0", "'ssh root@ham1'")
    assert status.lines[0].startswith("ham1 unknown, cannot connect through ham0")
    assert status.lines[1:] == ["ham2 off"]
    off.assert_error("ham1", "cannot connect through ham0")
    assert off.out == ""


@pytest.mark.parametrize("shared", ["", "Host ham0\n  ControlMaster auto\n  ControlPath ~/.ssh/%r@%h\n"])
def test_a_frozen_node_behind_a_jump_host_is_not_reported_as_off(lab: RealLab, ssh_files: Path, shared: str) -> None:
    (ssh_files / "config").write_text(JUMP + shared)
    if shared:
        assert lab.run("ssh", "-o", "ControlPersist=yes", "-fN", "ham0").returncode == 0
    lab.freeze("ham1")
    result = mclu(lab, "off", "ham1")
    lab.thaw("ham1")
    result.assert_error("ham1", "ssh: not answering")
    assert result.out == ""
    if shared:
        lab.run("ssh", "-O", "exit", "ham0")


def test_faults_of_a_jump_host_and_of_the_node_behind_it_are_distinguished(lab: RealLab, ssh_files: Path) -> None:
    (ssh_files / "config").write_text(JUMP)
    lab.forget("ham0")
    mclu(lab, "status", "ham1").assert_error("ham1", "cannot connect through ham0: Host key verification failed")
    lab.remember("ham0")
    lab.forget("ham1")
    mclu(lab, "status", "ham1").assert_error("ham1", "(host key not known)")
    lab.remember("ham1")
    lab.run("sh", "-c", "read -r pid </run/sshd.pid; kill $pid; tail --pid=$pid -f /dev/null", node="ham1")
    mclu(lab, "status", "ham1").assert_error("ham1", "ssh: connection refused", "sshd")
    lab.off("ham1")


@pytest.mark.parametrize("via", ["auto", "openssh"])
def test_an_sshd_that_drops_logins_is_no_bad_jump_host_for_twenty_nodes(
    lab: RealLab, ssh_files: Path, via: str
) -> None:
    _other_sshd(lab, "-o", "MaxStartups=7:100:7")
    (ssh_files / "config").write_text("Host n*\n  HostName ham0\n  HostKeyAlias ham0\n  ProxyJump ham1:2222\n")
    _configure(lab, *(f"n{i} via={via}" for i in range(20)))
    result = mclu(lab, "status")
    assert (result.status, result.out.count(" on\n"), result.err) == (0, 20, "")


def test_a_node_and_its_jump_host_can_be_switched_off_together(lab: RealLab, ssh_files: Path) -> None:
    """In either order, mclu reports the node as off only if it knows it."""
    (ssh_files / "config").write_text(JUMP)
    result = mclu(lab, "off", "ham0", "ham1")
    assert "ham0 off" in result.lines
    if "ham1 off" in result.lines:
        assert not is_on(lab, "ham1")
    else:
        result.assert_error("ham1")


# The local machine


def test_via_local_uses_the_libvirt_of_this_machine(lab: RealLab) -> None:
    """The libvirt of a node stands in for that of this machine."""
    run_guest(lab, "ham1", "web")
    pid = next(line.split()[1] for line in (lab.path / "state").read_text().splitlines() if line.startswith("ham1 "))
    script = (
        f"mount -t tmpfs tmpfs /run; ln -s /proc/{pid}/root/run/libvirt /run/libvirt; cat >/run/mclu.conf; "
        "exec mclu -f /run/mclu.conf -k -c 'status here; list --active; off here; on here'"
    )
    completed = lab.run("unshare", "-m", "sh", "-c", script, input="[nodes]\nhere via=local\nham0\n")
    assert re.match(
        r"here on\n  total: .*\n  used:  1guests 1vcpus 64M\n  free: .*\nhere:web +running", completed.stdout
    )
    assert completed.returncode == 1
    assert completed.stderr.splitlines() == [
        "mclu: here: cannot switch off: guest web is running; shut it down or destroy it first",
        "mclu: here: cannot wake this machine: it is on",
    ]
