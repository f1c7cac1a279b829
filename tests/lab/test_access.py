"""The ways to a node: ssh's own configuration, mclu.conf, keys and agents, jump hosts, this machine itself."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.support.cli import Told, at_once, is_on, mclu, run_guest, until
from tests.lab.support.lab import RealLab

ON = r"{} on\n  total: \d+pcpus \S+\n  free: \S+\n"
JUMP = "Host ham1\n  ProxyJump ham0\n"


@pytest.fixture
def lab(lab4: RealLab, ssh_files: Path) -> RealLab:
    """ham0 and ham1 are on; what a test writes into the operator's .ssh and mclu.conf is put back."""
    lab4.power(on=["ham0", "ham1"])
    return lab4


def _is_told_on(told: Told, node: str) -> None:
    assert (told.status, told.err) == (0, "")
    assert re.match(ON.format(node), told.out), told.out


def _configure(lab: RealLab, *lines: str) -> None:
    """Write the nodes of mclu.conf."""
    (lab.path / "mclu.conf").write_text("[nodes]\n" + "\n".join(lines) + "\n")


def _address(lab: RealLab, node: str) -> str:
    return lab.run("getent", "hosts", node).stdout.split()[0]


def _key(lab: RealLab, node: str) -> str:
    """A node's host key, as it stands in known_hosts."""
    return lab.run("cut", "-d ", "-f1,2", "/etc/ssh/ssh_host_ed25519_key.pub", node=node).stdout.strip()


def _other_sshd(lab: RealLab, *options: str) -> None:
    """Run a second sshd on ham1, at port 2222, until its power goes."""
    lab.run("/usr/sbin/sshd", "-p", "2222", "-E", "/tmp/sshd", "-o", "PidFile=/run/sshd2.pid", *options, node="ham1")
    until(lambda: "Server listening" in lab.run("cat", "/tmp/sshd", node="ham1").stdout)


def _add_user(lab: RealLab) -> None:
    """Add the ordinary user "op" to ham1, who may log in as root may, until its power goes."""
    script = (
        "cp /etc/passwd /tmp/passwd && echo op:x:1000:1000::/tmp/op:/bin/sh >>/tmp/passwd && "
        "mount --bind /tmp/passwd /etc/passwd && mkdir -p /tmp/op && cp -r /root/.ssh /tmp/op && "
        "chown -R 1000:1000 /tmp/op && chmod -R go= /tmp/op"
    )
    assert lab.run("sh", "-c", script, node="ham1").returncode == 0


# What ssh's configuration and mclu.conf say


def test_hostname_port_user_and_key_of_ssh_config_count(lab: RealLab, ssh_files: Path) -> None:
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
    # As for ssh, a key that is known of port 22 is good at another port, too.
    _is_told_on(mclu(lab, "status"), "web-box")
    lab.forget("ham1")
    mclu(lab, "status", "web-box").complains("web-box", "host key not known", "'ssh root@web-box'")
    known = ssh_files / "known_hosts"
    known.write_text(known.read_text() + f"[ham1]:2222 {_key(lab, 'ham1')}\n")
    _is_told_on(mclu(lab, "status"), "web-box")
    assert lab.run("ssh", "web-box", "hostname").stdout == "ham1\n"


def test_address_port_user_and_key_of_mclu_conf_count(lab: RealLab, ssh_files: Path) -> None:
    address = _address(lab, "ham1")
    _other_sshd(lab)
    (ssh_files / "id_ed25519").rename(ssh_files / "special")
    (ssh_files / "config").write_text("Host box\n  Port 1\n  HostName nowhere\n  User nobody\n")
    lab.forget("ham1")
    _configure(lab, f"box address={address} port=2222 user=root identity={ssh_files}/special")
    told = mclu(lab, "status")
    told.complains("box", "host key not known")
    # The advice is a command that leads to the same sshd.
    advised = re.search(r"run '(ssh .*)' once", told.err)
    assert advised
    words = advised[1].split()
    done = lab.run(*words[:-1], "-o", "StrictHostKeyChecking=accept-new", words[-1], "hostname")
    assert done.stdout == "ham1\n", done.stderr
    _is_told_on(mclu(lab, "status"), "box")


@pytest.mark.parametrize("line", ["ham1", "[ham1]:2222"])
def test_hashed_known_hosts(lab: RealLab, ssh_files: Path, line: str) -> None:
    known = ssh_files / "known_hosts"
    known.write_text(f"{line} {_key(lab, 'ham1')}\n")
    assert lab.run("ssh-keygen", "-H", "-f", str(known)).returncode == 0
    assert known.read_text().startswith("|1|")
    if "2222" in line:
        _other_sshd(lab)
        _configure(lab, "ham1 port=2222")
    _is_told_on(mclu(lab, "status", "ham1"), "ham1")


def test_a_changed_key_at_another_port_is_told_with_its_name(lab: RealLab, ssh_files: Path) -> None:
    (ssh_files / "known_hosts").write_text(f"[ham1]:2222 {_key(lab, 'ham0')}\nham1 {_key(lab, 'ham1')}\n")
    _other_sshd(lab)
    _configure(lab, "ham1 port=2222")
    told = mclu(lab, "status")
    told.complains("ham1", "host key has CHANGED", "ssh-keygen -R '[ham1]:2222'", "'ssh -p 2222 root@ham1'")


def test_an_alias_and_the_address_decide_which_key_is_known(lab: RealLab, ssh_files: Path) -> None:
    """As in ssh: an alias stands without port, and an old line about the node's name says nothing of its address."""
    right, wrong = _key(lab, "ham1"), _key(lab, "ham0")
    _other_sshd(lab)
    address = _address(lab, "ham1")
    (ssh_files / "known_hosts").write_text(f"box {wrong}\nold-name {right}\n{address} {right}\n")
    _configure(lab, "box", "other")
    (ssh_files / "config").write_text(
        f"Host box\n  HostName {address}\nHost other\n  HostName ham1\n  Port 2222\n  HostKeyAlias old-name\n"
    )
    told = mclu(lab, "status")
    _is_told_on(told, "box")
    assert [line for line in told.lines if not line.startswith(" ")] == ["box on", "other on"]


def test_a_broken_ssh_configuration_is_told_with_its_line(lab: RealLab, ssh_files: Path) -> None:
    (ssh_files / "config").write_text("Host ham1\n  Prot 22\n")
    told = mclu(lab, "status", "ham1")
    told.complains("ham1", f"{ssh_files}/config: line 2", "prot")
    assert told.lines[0].startswith("ham1 unknown, ")


def test_a_name_without_address(lab: RealLab) -> None:
    _configure(lab, "ham0", "hamx")
    told = mclu(lab, "status")
    told.complains("hamx", "no address for 'hamx'", "address=", "HostName")
    assert re.fullmatch(ON.format("ham0") + "hamx unknown, no address .*\n", told.out)


# Users


def test_an_ordinary_user_reads_and_is_told_what_he_lacks(lab: RealLab) -> None:
    _configure(lab, "ham1 user=op")
    _add_user(lab)
    lab.run("chmod", "0600", "/run/libvirt/libvirt-sock", node="ham1")
    mclu(lab, "status").complains(
        "ham1", "op has no permission for /run/libvirt/libvirt-sock", "usermod -aG libvirt op"
    )
    lab.run("chmod", "0666", "/run/libvirt/libvirt-sock", node="ham1")
    _is_told_on(mclu(lab, "status"), "ham1")
    # Without a right to power off nothing is claimed.
    told = mclu(lab, "off", "ham1")
    told.complains("ham1", "poweroff failed: ", "sudo")
    assert told.out == ""
    assert is_on(lab, "ham1")
    lab.off("ham1")


# Keys


def _lock(lab: RealLab, ssh_files: Path) -> Path:
    """Lock the operator's key with the passphrase "open"; an unlocked copy."""
    key = ssh_files / "id_ed25519"
    copy = ssh_files / "copy"
    copy.write_bytes(key.read_bytes())
    copy.chmod(0o600)
    assert lab.run("ssh-keygen", "-q", "-p", "-P", "", "-N", "open", "-f", str(key)).returncode == 0
    return copy


@contextlib.contextmanager
def _agent(lab: RealLab, *keys: Path) -> Iterator[str]:
    """A real ssh-agent with keys; its socket."""
    said = lab.run("ssh-agent", "-s").stdout
    found = re.search(r"SSH_AUTH_SOCK=([^;]+);.*SSH_AGENT_PID=(\d+);", said, re.DOTALL)
    assert found, said
    path, pid = found.groups()
    try:
        for key in keys:
            assert lab.run("env", f"SSH_AUTH_SOCK={path}", "ssh-add", "-q", str(key)).returncode == 0
        yield path
    finally:
        lab.run("kill", pid)


def test_a_locked_key_needs_ssh_add(lab: RealLab, ssh_files: Path) -> None:
    unlocked = _lock(lab, ssh_files)
    told = mclu(lab, "status", "ham[12]")
    told.complains("ham1", "permission denied for root", f"ssh-add {ssh_files}/id_ed25519", "passphrase")
    assert told.lines[-1] == "ham2 off"
    with _agent(lab, unlocked) as path:
        # As the user's own shell would have it, and as ssh_config may name it.
        done = lab.run("env", f"SSH_AUTH_SOCK={path}", "mclu", "status", "ham1")
        assert (done.stdout.splitlines()[0], done.stderr) == ("ham1 on", "")
        (ssh_files / "config").write_text(f"Host ham1\n  IdentityAgent {path}\n")
        _is_told_on(mclu(lab, "status", "ham1"), "ham1")
    # With the agent gone, it is as before.
    mclu(lab, "status", "ham1").complains("ham1", "ssh-add")


def test_a_key_that_is_in_the_agent_only(lab: RealLab, ssh_files: Path) -> None:
    others = [ssh_files / f"other{i}" for i in range(3)]
    for other in others:
        assert lab.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)).returncode == 0
    with _agent(lab, *others, ssh_files / "id_ed25519") as path:
        (ssh_files / "id_ed25519").unlink()
        done = lab.run("env", f"SSH_AUTH_SOCK={path}", "mclu", "status", "ham0", "ham1")
        assert (done.returncode, done.stdout.count(" on\n"), done.stderr) == (0, 2, "")


# Through a jump host


def test_through_a_jump_host(lab: RealLab, ssh_files: Path) -> None:
    (ssh_files / "config").write_text(JUMP)
    # Only the jump host has a way to it.
    other_lan = "ip address flush dev eth0; ip address add 10.74.0.2/16 dev eth0"
    assert lab.run("sh", "-c", other_lan, node="ham1").returncode == 0
    lab.run("ip", "address", "add", "10.74.0.1/16", "dev", "eth0", node="ham0")
    _configure(lab, "ham1 address=10.74.0.2")
    run_guest(lab, "ham1", "web")
    told = mclu(lab, "list", "--active")
    assert (told.status, told.out.split()[:2], told.err) == (0, ["ham1:web", "running"], "")
    mclu(lab, "off", "ham1").complains("ham1", "web")
    lab.run("virsh", "destroy", "web", node="ham1")
    told = mclu(lab, "off", "ham1")
    assert (told.status, told.out, told.err) == (0, "ham1 off\n", "")
    assert lab.states()["ham1"] == "off"
    # The jump hosts' ssh ends with mclu.
    assert lab.run("pgrep", "-af", "ssh -o").stdout == ""


def test_a_node_behind_a_jump_host_that_is_off_and_comes(lab: RealLab, ssh_files: Path) -> None:
    lab.off("ham1")
    (ssh_files / "config").write_text(JUMP)
    told = mclu(lab, "status", "ham0", "ham1")
    assert (told.status, told.lines[-1], told.err) == (0, "ham1 off", "")
    told = mclu(lab, "on", "ham1", "--wait")
    assert (told.status, told.lines[1:], told.err) == (0, ["ham1 on"], "")


def test_a_jump_host_that_is_off(lab: RealLab, ssh_files: Path) -> None:
    lab.off("ham0")
    (ssh_files / "config").write_text(JUMP)
    status, off = at_once(lab, "status ham[12]", "off ham1")
    status.complains("ham1", "no way through ham0", "'ssh root@ham1'")
    assert status.lines[0].startswith("ham1 unknown, no way through ham0")
    assert status.lines[1:] == ["ham2 off"]
    off.complains("ham1", "no way through ham0")
    assert off.out == ""


@pytest.mark.parametrize("shared", ["", "Host ham0\n  ControlMaster auto\n  ControlPath ~/.ssh/%r@%h\n"])
def test_a_node_that_hangs_behind_a_jump_host_is_not_off(lab: RealLab, ssh_files: Path, shared: str) -> None:
    (ssh_files / "config").write_text(JUMP + shared)
    if shared:
        assert lab.run("ssh", "-o", "ControlPersist=yes", "-fN", "ham0").returncode == 0
    lab.freeze("ham1")
    told = mclu(lab, "off", "ham1")
    lab.thaw("ham1")
    told.complains("ham1", "ssh: not answering")
    assert told.out == ""
    if shared:
        lab.run("ssh", "-O", "exit", "ham0")


def test_faults_at_and_behind_a_jump_host(lab: RealLab, ssh_files: Path) -> None:
    (ssh_files / "config").write_text(JUMP)
    lab.forget("ham0")
    mclu(lab, "status", "ham1").complains("ham1", "no way through ham0: Host key verification failed")
    lab.lab("remember", "ham0")
    lab.forget("ham1")
    mclu(lab, "status", "ham1").complains("ham1", "ssh: host key not known")
    lab.lab("remember", "ham1")
    lab.run("sh", "-c", "read -r pid </run/sshd.pid; kill $pid; tail --pid=$pid -f /dev/null", node="ham1")
    mclu(lab, "status", "ham1").complains("ham1", "ssh: connection refused", "sshd")
    lab.off("ham1")


def test_a_node_and_its_jump_host_switched_off_together(lab: RealLab, ssh_files: Path) -> None:
    """Whichever is first, nothing is claimed of the node that cannot be known."""
    (ssh_files / "config").write_text(JUMP)
    told = mclu(lab, "off", "ham0", "ham1")
    assert "ham0 off" in told.lines
    if "ham1 off" in told.lines:
        assert not is_on(lab, "ham1")
    else:
        told.complains("ham1")


# This machine


def test_this_machines_own_libvirt(lab: RealLab) -> None:
    """With a node's libvirt in the place of this machine's."""
    run_guest(lab, "ham1", "web")
    pid = next(line.split()[1] for line in (lab.path / "state").read_text().splitlines() if line.startswith("ham1 "))
    script = (
        f"mount -t tmpfs tmpfs /run; ln -s /proc/{pid}/root/run/libvirt /run/libvirt; cat >/run/mclu.conf; "
        "exec mclu -f /run/mclu.conf -k -c 'status here; list --active; off here; on here'"
    )
    done = lab.run("unshare", "-m", "sh", "-c", script, input="[nodes]\nhere via=local\nham0\n")
    assert re.match(r"here on\n  total: .*\n  used:  1guests 1vcpus 64M\n  free: .*\nhere:web +running", done.stdout)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "mclu: here: not switched off: guest running: web",
        "mclu: here: is this machine, which is on",
    ]
