"""What a user is told when something is wrong with a node, by every command, and how soon: on real nodes.

In each of these tests ham0 runs a guest, ham1 has the fault, ham2 is on and idle, and ham3 is off.
"""

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.support.cli import LIMIT_S, Told, at_once, is_on, logins, mclu, run_guest, started, until
from tests.lab.support.lab import RealLab

HAM0 = r"ham0 on\n  total: \d+pcpus \S+\n  used:  1guests 1vcpus 64M\n  free: \S+\n"
HAM2 = r"ham2 on\n  total: \d+pcpus \S+\n  free: \S+\n"


@pytest.fixture
def lab(lab4: RealLab) -> Iterator[RealLab]:
    """The four nodes, before the fault."""
    lab4.power(on=["ham0", "ham1", "ham2"])
    run_guest(lab4, "ham0", "web")
    yield lab4
    # Some of the faults end with the power only.
    lab4.off("ham1")


@pytest.fixture
def soon(lab: RealLab, ssh_files: Path) -> None:
    """The limit is half of the usual one, where the tests themselves would take long."""
    config = lab.path / "mclu.conf"
    config.write_text(config.read_text().replace("[global]", "[global]\nanswer_timeout=2"))


def _on_ham1(lab: RealLab, script: str) -> None:
    done = lab.run("sh", "-c", script, node="ham1")
    assert done.returncode == 0, done.stderr


END = "read -r pid <{0}; kill $pid; tail --pid=$pid -f /dev/null"


def _stop_libvirtd(lab: RealLab) -> None:
    _on_ham1(lab, END.format("/run/libvirtd.pid"))


def _stop_sshd(lab: RealLab) -> None:
    _on_ham1(lab, END.format("/run/sshd.pid"))


def _hang_up(lab: RealLab) -> None:
    """Have something at sshd's port that ends each connection, as sshd does where it is overloaded."""
    _stop_sshd(lab)
    _on_ham1(lab, "busybox nc -ll -p 22 -e true </dev/null >/dev/null 2>&1 &")
    until(lambda: ":22 " in lab.run("ss", "-ltn", node="ham1").stdout)


def _refuse_key(lab: RealLab) -> None:
    _on_ham1(lab, "mount --bind /dev/null /root/.ssh/authorized_keys")


def _forbid_forwarding(lab: RealLab) -> None:
    _on_ham1(lab, "(cat /etc/ssh/sshd_config; echo AllowStreamLocalForwarding no) >/tmp/sshd_config")
    _on_ham1(lab, "mount --bind /tmp/sshd_config /etc/ssh/sshd_config")
    _stop_sshd(lab)
    _on_ham1(lab, "/usr/sbin/sshd -E /var/log/sshd")
    lab.wait("on", "ham1")


Fault = tuple[Callable[[RealLab], None], str, tuple[str, ...]]
FAULTS: dict[str, Fault] = {
    "unknown host key": (lambda lab: lab.forget("ham1"), "ssh: host key not known", ("'ssh root@ham1'", "SHA256:")),
    "changed host key": (lambda lab: lab.rekey("ham1"), "ssh: host key has CHANGED", ("ssh-keygen -R ham1",)),
    "refused key": (_refuse_key, "ssh: permission denied for root", ("'ssh root@ham1'",)),
    "sshd stopped": (_stop_sshd, "ssh: connection refused on port 22", ("sshd",)),
    "sshd hangs up": (_hang_up, "ssh: connection closed at once", ("'ssh root@ham1'",)),
    "frozen node": (lambda lab: lab.freeze("ham1"), "ssh: not answering", ("reset",)),
    "libvirtd stopped": (_stop_libvirtd, "libvirtd not running", ("systemctl start libvirtd",)),
    "frozen libvirtd": (
        lambda lab: lab.freeze("ham1", libvirtd=True),
        "libvirtd not answering",
        ("systemctl restart libvirtd",),
    ),
    "forwarding forbidden": (_forbid_forwarding, "ssh: sshd forwards no sockets", ("AllowStreamLocalForwarding",)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_clear_line_and_the_others_in_full(lab: RealLab, fault: str) -> None:
    inflict, fact, remedy = FAULTS[fault]
    inflict(lab)
    status, listed, off = at_once(lab, "status", "list --active", "off ham1 ham2")
    for told in (status, listed, off):
        told.complains("ham1", fact, *remedy)
    assert re.fullmatch(f"{HAM0}ham1 on, {fact}\n{HAM2}ham3 off\n", status.out), status.out
    assert [line.split()[:2] for line in listed.lines] == [["ham0:web", "running"]]
    assert off.out == "ham2 left on\n"
    assert is_on(lab, "ham1", "ham2")


def test_a_node_that_hangs_holds_back_no_answer_before_its_own(lab: RealLab) -> None:
    lab.freeze("ham1")
    with started(lab, "status") as status:
        assert status.stdout is not None
        assert status.stdout.readline() == "ham0 on\n"
        assert status.poll() is None
        assert "ham1 on, ssh: not answering\nham2 on\n" in status.stdout.read()


def test_what_is_advised_for_host_keys_helps(lab: RealLab) -> None:
    lab.rekey("ham1")
    advised = re.search(r"(ssh-keygen -R \S+), then '(ssh \S+)'", mclu(lab, "status", "ham1").err)
    assert advised
    assert lab.run(*advised[1].split()).returncode == 0
    told = mclu(lab, "status", "ham1")
    told.complains("ham1", "host key not known")
    # The fingerprint is the one that ssh-keygen shows on the node.
    shown = lab.run("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub", node="ham1").stdout.split()[1]
    assert shown in told.err
    ssh, login = advised[2].split()
    assert lab.run(ssh, "-o", "StrictHostKeyChecking=accept-new", login, "true").returncode == 0
    assert mclu(lab, "status", "ham1").status == 0


def test_a_frozen_libvirtd_that_goes_on_is_well_again(lab: RealLab) -> None:
    lab.freeze("ham1", libvirtd=True)
    with started(lab, "status", "ham1") as command:
        _is_asked(lab, logins(lab, "ham1"))
        lab.thaw("ham1", libvirtd=True)
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out.splitlines()[0], err) == (0, "ham1 on", "")


def test_a_libvirtd_that_dies_during_the_question(lab: RealLab) -> None:
    before = logins(lab, "ham1")
    lab.freeze("ham1", libvirtd=True)
    with started(lab, "status", "ham1") as command:
        _is_asked(lab, before)
        _on_ham1(lab, "read -r pid </run/libvirtd.pid; kill -KILL $pid")
        out, err = command.communicate(timeout=LIMIT_S)
    assert (command.returncode, out) == (1, "ham1 on, libvirtd not running\n")
    assert err == "mclu: ham1: libvirtd not running; on the node: systemctl start libvirtd\n"


def _is_asked(lab: RealLab, logins_before: int) -> None:
    """Wait until mclu has logged in on ham1."""
    until(lambda: logins(lab, "ham1") > logins_before)


def test_a_node_that_dies_during_the_command(lab: RealLab, soon: None) -> None:
    before = logins(lab, "ham1")
    # It does not answer, so the questions are still under way when the plug is pulled.
    lab.freeze("ham1", libvirtd=True)
    lines = {
        "status": f"{HAM0}ham1 off\n{HAM2}ham3 off\n",
        "list --active": r"ham0:web +running +64M +1vcpus\n",
        "off ham1": "ham1 off\n",
    }
    with contextlib.ExitStack() as stack:
        commands = [stack.enter_context(started(lab, *line.split())) for line in lines]
        until(lambda: logins(lab, "ham1") == before + len(lines))
        lab.off("ham1")
        for command, wanted in zip(commands, lines.values(), strict=True):
            out, err = command.communicate(timeout=LIMIT_S)
            assert (command.returncode, err) == (0, "")
            assert re.fullmatch(wanted, out), out


def test_a_node_that_dies_while_it_is_watched_going_down(lab: RealLab) -> None:
    _on_ham1(lab, "printf '#!/bin/sh\\ntrue\\n' >/tmp/poweroff; chmod +x /tmp/poweroff")
    _on_ham1(lab, "mount --bind /tmp/poweroff /usr/local/sbin/poweroff")
    before = logins(lab, "ham1")
    with started(lab, "off", "ham1") as command:
        _is_asked(lab, before)
        # Its poweroff does nothing: it stays on, and so it is not reported as off.
        with pytest.raises(subprocess.TimeoutExpired):
            command.communicate(timeout=2)
        lab.off("ham1")
        out, err = command.communicate(timeout=LIMIT_S)
    assert (command.returncode, out, err) == (0, "ham1 off\n", "")


def test_no_node_answers(lab: RealLab, soon: None) -> None:
    """All at once, each with another fault: one line for each, and not one after the other."""
    lab.freeze("ham0")
    lab.freeze("ham2", libvirtd=True)
    _stop_libvirtd(lab)
    told: Told = mclu(lab, "status")
    lab.thaw("ham0")
    lab.thaw("ham2", libvirtd=True)
    assert told.seconds < LIMIT_S
    assert told.status == 1
    assert told.lines == [
        "ham0 on, ssh: not answering",
        "ham1 on, libvirtd not running",
        "ham2 on, libvirtd not answering",
        "ham3 off",
    ]
    assert [line.split(":")[1] for line in told.err.splitlines()] == [" ham0", " ham1", " ham2"]
