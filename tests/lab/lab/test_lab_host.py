"""Isolation of labs from each other and from their host."""

import hashlib
import os
import pwd
import select
import signal
import subprocess
import time
from pathlib import Path

from tests.lab.support.lab import RealLab, execute
from tests.lab.support.lan import CONNECT, WAKE, mac_of


def test_two_labs_do_not_see_each_other(lab: RealLab, words: tuple[str, ...]) -> None:
    other = RealLab(2, on=2, words=words)
    try:
        keys = [(each.path / "home/.ssh/known_hosts").read_text().splitlines()[0] for each in (lab, other)]
        assert keys[0] != keys[1]
        lab.off("ham0")
        assert lab.python(CONNECT, "ham0") == "silent"
        assert other.run("ssh", "ham0", "hostname").stdout == "ham0\n"
        lab.python(WAKE, mac_of(other, "ham1"), "9")
        lab.wait("on", "ham1")
        other.off("ham1")
        assert lab.run("ssh", "ham1", "hostname").stdout == "ham1\n"
        assert other.states() == {"ham0": "on", "ham1": "off"}
    finally:
        other.down()


def _descendants(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += map(int, (task / "children").read_text().split())
    return children + [deeper for child in children for deeper in _descendants(child)]


def _ended(descriptors: list[int], seconds: float = 20) -> bool:
    """Return whether all processes of these pidfds end in time."""
    deadline = time.monotonic() + seconds
    waiting = set(descriptors)
    while waiting and (left := deadline - time.monotonic()) > 0:
        waiting -= set(select.select(waiting, [], [], left)[0])
    for descriptor in descriptors:
        os.close(descriptor)
    return not waiting


def _watched(lab: RealLab) -> tuple[int, list[int]]:
    """Return the pid of the outer process, and pidfds of it and of its descendants."""
    outer = int((lab.path / "outer").read_text().split()[0])
    return outer, [os.pidfd_open(pid) for pid in (outer, *_descendants(outer))]


def test_killing_the_outer_process_removes_the_lab(words: tuple[str, ...]) -> None:
    lab = RealLab(2, words=words)
    outer, watched = _watched(lab)
    assert len(watched) >= 2 + 2 * 3  # Outer process, pid 1 and, for each node, pid 1, sshd and libvirtd.
    os.kill(outer, signal.SIGKILL)
    assert _ended(watched)
    assert str(lab.path) not in Path("/proc/self/mounts").read_text()
    assert lab.try_call("exec", "true").stderr == f"lab: no lab '{lab.name}' is up\n"
    execute([*words, "list"])
    assert not lab.path.exists()


def test_a_lab_ends_with_its_parent_process(words: tuple[str, ...]) -> None:
    name = f"orphan-{os.getpid()}"
    with subprocess.Popen(["sleep", "1000"]) as parent:
        made = execute([*words, "up", "1", "--name", name, "--parent", str(parent.pid)])
        assert made.returncode == 0, made.stderr
        path = Path(execute([*words, "path", "--name", name]).stdout.strip())
        outer = os.pidfd_open(int((path / "outer").read_text().split()[0]))
        parent.kill()
    assert _ended([outer])
    assert not path.exists()


def _host() -> dict[str, object]:
    """Return the state of the host that a lab could have changed."""
    listening = {
        line.split()[1]
        for protocol in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]
        # Other programs may start to listen on the loopback address at the same time.
        if line.split()[3] == "0A" and not line.split()[1].startswith(("0100007F", "0" * 24 + "01000000"))
    }
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    watched = [Path("/etc/hosts"), Path("/etc/passwd"), Path("/etc/shadow"), Path("/etc/group"), Path("/etc/ssh")]
    watched += [Path("/etc/libvirt"), Path("/var/lib/libvirt"), Path("/run/libvirt"), Path("/run/sshd"), home / ".ssh"]
    files = [
        path for each in watched for path in (each, *each.rglob("*")) if path.is_file() and os.access(path, os.R_OK)
    ]
    return {
        "files": {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "links": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "listening": listening,
        "mounts": Path("/proc/self/mounts").read_text(),
        "hostname": os.uname().nodename,
    }


def test_a_lab_does_not_change_its_host(words: tuple[str, ...]) -> None:
    before = _host()
    lab = RealLab(2, on=1, words=words)
    lab.on("ham1")
    assert _host() == before
    lab.down()
    assert _host() == before
    assert not lab.path.exists()


def test_a_lab_comes_up_quickly(words: tuple[str, ...]) -> None:
    began = time.monotonic()
    RealLab(4, words=words).down()
    assert time.monotonic() - began < 30  # It takes 0.6 s on two processors; the rest allows for a machine under load.
