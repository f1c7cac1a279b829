"""Faults of real nodes, as every command reports them, and how soon.

In each of these tests, ham0 runs a guest, ham1 has the fault, ham2 is on and idle, and ham3 is off.
"""

import contextlib
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.support.cli import (
    LIMIT_S,
    Result,
    background,
    count_logins,
    is_on,
    mclu,
    mclu_parallel,
    run_guest,
    wait_until,
)
from tests.lab.support.guests import sh
from tests.lab.support.lab import RealLab

pytestmark = pytest.mark.lab(on=["ham0", "ham1", "ham2"])

HAM0 = r"ham0 on\n  total: \d+pcpus \S+\n  used:  1guests 1vcpus 64M\n  free: \S+\n"
HAM2 = r"ham2 on\n  total: \d+pcpus \S+\n  free: \S+\n"
# Restarts libvirtd with a limit of three clients, and connects them.
_FILL_LIMIT = """
kill $(cat /run/libvirtd.pid)
while [ -e /run/libvirtd.pid ]; do sleep 0.1; done
echo max_clients=3 >>/etc/libvirt/libvirtd.conf
echo max_anonymous_clients=3 >>/etc/libvirt/libvirtd.conf
libvirtd -d
for client in 1 2 3; do (sleep 60 | virsh event --all --loop) >/dev/null 2>&1 & done
until [ "$(grep -c '/run/libvirt/libvirt-sock$' /proc/net/unix)" -gt 3 ]; do sleep 0.1; done
"""


@pytest.fixture(autouse=True, params=["auto", "openssh"])
def via(lab: RealLab, ssh_files: Path, request: pytest.FixtureRequest) -> str:
    """Log in with paramiko first, or with OpenSSH only."""
    value: str = request.param
    lab.set_global(f"via={value}")
    return value


@pytest.fixture(autouse=True)
def _web(lab: RealLab, via: str) -> Iterator[None]:
    """Start a guest on ham0, and end the fault of ham1 by a power cut after the test."""
    run_guest(lab, "ham0", "web")
    yield
    lab.off("ham1")


@pytest.fixture
def short_timeout(lab: RealLab, ssh_files: Path) -> None:
    """Halve the request timeout to shorten the test."""
    lab.set_global("answer_timeout=2")


def _on_ham1(lab: RealLab, script: str) -> None:
    completed = lab.run("sh", "-c", script, node="ham1")
    assert completed.returncode == 0, completed.stderr


END = "read -r pid <{0}; kill $pid; tail --pid=$pid -f /dev/null"


def _stop_libvirtd(lab: RealLab) -> None:
    _on_ham1(lab, END.format("/run/libvirtd.pid"))


def _stop_sshd(lab: RealLab) -> None:
    _on_ham1(lab, END.format("/run/sshd.pid"))


def _hang_up(lab: RealLab) -> None:
    """Replace sshd by a server that closes each connection, as an overloaded sshd does."""
    _stop_sshd(lab)
    _on_ham1(lab, "busybox nc -ll -p 22 -e true </dev/null >/dev/null 2>&1 &")
    wait_until(lambda: ":22 " in lab.run("ss", "-ltn", node="ham1").stdout)


def _refuse_key(lab: RealLab) -> None:
    _on_ham1(lab, "mount --bind /dev/null /root/.ssh/authorized_keys")


def _forbid_forwarding(lab: RealLab) -> None:
    _on_ham1(lab, "(cat /etc/ssh/sshd_config; echo AllowStreamLocalForwarding no) >/tmp/sshd_config")
    _on_ham1(lab, "mount --bind /tmp/sshd_config /etc/ssh/sshd_config")
    _stop_sshd(lab)
    _on_ham1(lab, "/usr/sbin/sshd -E /var/log/sshd")
    lab.wait("on", "ham1")


NOT_VERIFIED = "ssh: Host key verification failed"
Fault = tuple[Callable[[RealLab], None], str, tuple[str, ...]]
FAULTS: dict[str, Fault] = {
    "unknown host key": (lambda lab: lab.forget("ham1"), f"{NOT_VERIFIED} (host key not known)", ("'ssh root@ham1'",)),
    "changed host key": (
        lambda lab: lab.rekey("ham1"),
        f"{NOT_VERIFIED} (host key has CHANGED)",
        ("ssh-keygen", "ham1"),
    ),
    "refused key": (_refuse_key, "ssh: root@ham1: Permission denied (publickey)", ("'ssh root@ham1'",)),
    "sshd stopped": (_stop_sshd, "ssh: connection refused on port 22", ("sshd",)),
    "sshd hangs up": (_hang_up, "ssh: Connection ", ("'ssh root@ham1'",)),
    "frozen node": (lambda lab: lab.freeze("ham1"), "ssh: not answering", ("check its console",)),
    "libvirtd stopped": (_stop_libvirtd, "libvirtd not running", ("systemctl start libvirtd",)),
    "frozen libvirtd": (
        lambda lab: lab.freeze("ham1", libvirtd=True),
        "libvirtd not answering",
        ("systemctl restart libvirtd",),
    ),
    "forwarding forbidden": (_forbid_forwarding, "ssh: sshd does not forward sockets", ("AllowStreamLocalForwarding",)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_in_one_line_and_the_other_nodes_in_full(lab: RealLab, fault: str) -> None:
    inflict, fact, remedy = FAULTS[fault]
    inflict(lab)
    status, listed, off = mclu_parallel(lab, "status", "list --active", "off ham1 ham2")
    for result in (status, listed, off):
        result.assert_error("ham1", fact, *remedy)
    assert re.fullmatch(f"{HAM0}ham1 on, {re.escape(fact)}.*\n{HAM2}ham3 off\n", status.out), status.out
    assert [line.split()[:2] for line in listed.lines] == [["ham0:web", "running"]]
    assert off.out == "ham2 left on\n"
    assert is_on(lab, "ham1", "ham2")


def test_a_frozen_node_does_not_delay_the_nodes_before_it(lab: RealLab) -> None:
    lab.freeze("ham1")
    with background(lab, "status") as status:
        assert status.stdout is not None
        assert status.stdout.readline() == "ham0 on\n"
        assert status.poll() is None
        assert "ham1 on, ssh: not answering\nham2 on\n" in status.stdout.read()


def test_the_suggested_commands_fix_a_changed_host_key(lab: RealLab) -> None:
    lab.rekey("ham1")
    suggestion = re.search(r"(ssh-keygen .*), then '(ssh \S+)'", mclu(lab, "status", "ham1").err)
    assert suggestion
    assert lab.run(*shlex.split(suggestion[1])).returncode == 0
    result = mclu(lab, "status", "ham1")
    result.assert_error("ham1", "host key not known")
    ssh, login = suggestion[2].split()
    assert lab.run(ssh, "-o", "StrictHostKeyChecking=accept-new", login, "true").returncode == 0
    assert mclu(lab, "status", "ham1").status == 0


def test_a_query_succeeds_when_a_frozen_libvirtd_continues(lab: RealLab) -> None:
    lab.freeze("ham1", libvirtd=True)
    with background(lab, "status", "ham1") as command:
        _wait_for_login(lab, count_logins(lab, "ham1"))
        lab.thaw("ham1", libvirtd=True)
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out.splitlines()[0], err) == (0, "ham1 on", "")


def test_a_query_reports_a_libvirtd_that_dies_during_it(lab: RealLab) -> None:
    before = count_logins(lab, "ham1")
    lab.freeze("ham1", libvirtd=True)
    with background(lab, "status", "ham1") as command:
        _wait_for_login(lab, before)
        _on_ham1(lab, "read -r pid </run/libvirtd.pid; kill -KILL $pid")
        out, err = command.communicate(timeout=LIMIT_S)
    assert (command.returncode, out) == (1, "ham1 on, libvirtd not running\n")
    assert err == "mclu: ham1: libvirtd not running; on the node: systemctl start libvirtd\n"


def _wait_for_login(lab: RealLab, logins_before: int) -> None:
    """Wait for another login on ham1."""
    wait_until(lambda: count_logins(lab, "ham1") > logins_before)


def test_a_node_that_loses_power_during_a_command_is_reported_as_off(lab: RealLab, short_timeout: None) -> None:
    before = count_logins(lab, "ham1")
    # libvirtd does not answer, so the requests are pending when the power is cut.
    lab.freeze("ham1", libvirtd=True)
    lines = {
        "status": f"{HAM0}ham1 off\n{HAM2}ham3 off\n",
        "list --active": r"ham0:web +running +64M +1vcpus\n",
        "off ham1": "ham1 off\n",
    }
    with contextlib.ExitStack() as stack:
        commands = [stack.enter_context(background(lab, *line.split())) for line in lines]
        wait_until(lambda: count_logins(lab, "ham1") == before + len(lines))
        lab.off("ham1")
        for command, expected in zip(commands, lines.values(), strict=True):
            out, err = command.communicate(timeout=LIMIT_S)
            assert (command.returncode, err) == (0, "")
            assert re.fullmatch(expected, out), out


def test_off_reports_a_node_only_when_it_is_really_down(lab: RealLab) -> None:
    _on_ham1(lab, "printf '#!/bin/sh\\ntrue\\n' >/tmp/poweroff; chmod +x /tmp/poweroff")
    _on_ham1(lab, "mount --bind /tmp/poweroff /usr/local/sbin/poweroff")
    before = count_logins(lab, "ham1")
    with background(lab, "off", "ham1") as command:
        _wait_for_login(lab, before)
        # This poweroff does nothing, so the node stays on and must not be reported as off.
        with pytest.raises(subprocess.TimeoutExpired):
            command.communicate(timeout=2)
        lab.off("ham1")
        out, err = command.communicate(timeout=LIMIT_S)
    assert (command.returncode, out, err) == (0, "ham1 off\n", "")


def test_faults_of_all_nodes_are_reported_within_one_timeout(lab: RealLab, short_timeout: None) -> None:
    """Each node has a different fault; the timeouts run in parallel."""
    lab.freeze("ham0")
    lab.freeze("ham2", libvirtd=True)
    _stop_libvirtd(lab)
    result: Result = mclu(lab, "status")
    lab.thaw("ham0")
    lab.thaw("ham2", libvirtd=True)
    assert result.seconds < LIMIT_S
    assert result.status == 1
    assert result.lines == [
        "ham0 on, ssh: not answering",
        "ham1 on, libvirtd not running",
        "ham2 on, libvirtd not answering",
        "ham3 off",
    ]
    assert [line.split(":")[1] for line in result.err.splitlines()] == [" ham0", " ham1", " ham2"]


def test_a_full_client_limit_of_libvirtd_is_reported(lab: RealLab) -> None:
    sh(lab, "ham1", _FILL_LIMIT)
    result = mclu(lab, "status", "ham1")
    result.assert_error(
        "ham1", "libvirt has as many clients as it allows (3)", "max_clients in /etc/libvirt/libvirtd.conf"
    )
    assert result.lines == ["ham1 on, libvirt has as many clients as it allows (3)"]
