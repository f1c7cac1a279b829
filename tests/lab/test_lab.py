"""scripts/lab itself: what the other tests on real nodes stand on. As root, and as an ordinary user."""

import contextlib
import hashlib
import itertools
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pexpect
import pytest

from tests.lab.conftest import need_lab
from tests.lab.reallab import OWN, REPOSITORY, RealLab, execute

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 22), timeout=0.8).close()
    print("accepted")
except TimeoutError:
    print("silent")
except ConnectionRefusedError:
    print("refused")
"""
# A magic packet, as UDP to a port, or as a frame of its own.
WAKE = """
import socket, sys
mac = bytes.fromhex(sys.argv[1].replace(":", ""))
packet = b"\\xff" * 6 + mac * 16
if sys.argv[2] == "ethertype":
    frame = b"\\xff" * 6 + bytes(6) + b"\\x08\\x42" + packet
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind(("lan0", 0))
    raw.send(frame)
else:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    udp.sendto(packet, ("10.73.255.255", int(sys.argv[2])))
"""
DOMAIN = """
<domain type='qemu'>
  <name>small</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64'>hvm</type></os>
</domain>
"""


# Who runs the labs


def _python_of(become: Sequence[str]) -> str:
    """Return a Python that another user may run: the one of the tests may be in somebody's home."""
    # The shell is there because setpriv itself still has root's rights when it looks for a program.
    question = 'exec "$0" -c "import sys; sys.exit(sys.version_info < (3, 11))"'
    for python in (sys.executable, *(f"/usr/bin/python3{minor}" for minor in ("", ".11", ".12", ".13", ".14"))):
        if execute([*become, "sh", "-c", question, python]).returncode == 0:
            return python
    pytest.skip("no Python 3.11 that every user may run")


_numbers = itertools.count()


@contextlib.contextmanager
def _ordinary_user() -> Iterator[tuple[str, ...]]:
    """Make a user, with a copy of what a lab consists of, and remove both."""
    # A test that is tried again makes another one.
    user = f"mclu-{os.getpid()}-{next(_numbers)}"
    place = Path(tempfile.mkdtemp(prefix=user, dir="/tmp"))
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", user], check=True)
    try:
        place.chmod(0o755)
        shutil.copytree(REPOSITORY / "scripts", place / "scripts")
        if (REPOSITORY / ".lab/root").exists():
            shutil.copytree(REPOSITORY / ".lab/root", place / ".lab/root", symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", place], check=True)
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--reset-env"]
        yield (*become, _python_of(become), str(place / "scripts/lab"))
    finally:
        shutil.rmtree(place)
        shutil.rmtree(f"/tmp/mclu-lab-{pwd.getpwnam(user).pw_uid}", ignore_errors=True)
        subprocess.run(["userdel", "--force", "--remove", user], check=True, capture_output=True)


@pytest.fixture(scope="module", params=["root", "user"])
def words(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """The first words of a command of scripts/lab, as root or as an ordinary user made for it."""
    is_root = os.geteuid() == 0
    if request.param == "root" and not is_root:
        pytest.skip("these tests do not run as root")
    with contextlib.ExitStack() as stack:
        made = request.param == "user" and is_root
        own = stack.enter_context(_ordinary_user()) if made else OWN
        need_lab(own)
        yield own


@pytest.fixture(scope="module")
def shared(words: tuple[str, ...]) -> Iterator[RealLab]:
    lab = RealLab(3, on=1, words=words)
    yield lab
    lab.down()


@pytest.fixture
def lab(shared: RealLab) -> RealLab:
    """A lab with ham0 on; ham1 and ham2 off."""
    shared.power(on=["ham0"])
    return shared


def _mac(lab: RealLab, node: str) -> str:
    lines = dict(line.split(" mac=") for line in lab.lab("config").stdout.splitlines() if "mac=" in line)
    return lines[node]


def _pid(lab: RealLab, node: str) -> str:
    """Return the pid of a node's pid 1, which is another after each boot."""
    states = [line.split() for line in (lab.path / "state").read_text().splitlines()]
    return next(pid for name, pid, *_ in states if name == node)


# Power


@pytest.mark.parametrize("how", ["9", "40000", "ethertype"])
def test_magic_packet_switches_on(lab: RealLab, how: str) -> None:
    assert lab.python(CONNECT, "ham1") == "silent"
    lab.python(WAKE, _mac(lab, "ham1"), how)
    lab.wait("on", "ham1")
    assert lab.run("ssh", "ham1", "hostname").stdout == "ham1\n"
    assert lab.states() == {"ham0": "on", "ham1": "on", "ham2": "off"}


def test_last_node_can_be_woken_up(lab: RealLab) -> None:
    lab.off("ham0")
    lab.python(WAKE, _mac(lab, "ham0"), "9")
    lab.wait("on", "ham0")


def test_node_that_is_on_ignores_its_button(lab: RealLab) -> None:
    before = _pid(lab, "ham0")
    for node in ("ham0", "ham1"):
        lab.python(WAKE, _mac(lab, node), "9")
    lab.wait("on", "ham1")
    assert _pid(lab, "ham0") == before


@pytest.mark.skipif(os.geteuid() != 0, reason="adding a user needs root")
def test_a_user_who_is_added_on_the_host_leaves_the_lab_alone(lab: RealLab) -> None:
    passwd = lab.run("cat", "/etc/passwd").stdout
    name = f"mclu-new-{os.getpid()}"
    subprocess.run(["useradd", name], check=True)
    subprocess.run(["userdel", name], check=True)
    assert lab.run("cat", "/etc/passwd").stdout == passwd
    assert lab.run("ssh", "ham0", "true").returncode == 0


@pytest.mark.parametrize("command", ["poweroff", "shutdown -h now", "systemctl poweroff"])
def test_power_off_inside_takes_node_and_link_down(lab: RealLab, command: str) -> None:
    assert lab.run("ssh", "ham0", command).returncode == 0
    lab.wait("off", "ham0")
    assert lab.python(CONNECT, "ham0") == "silent"
    assert "ham0" not in lab.run("ip", "-brief", "link").stdout


def test_reboot_ends_what_ran_and_keeps_the_disk(lab: RealLab) -> None:
    lab.run("sh", "-c", "touch /run/gone /tmp/gone /root/kept; sleep 1000 >&- 2>&- &", node="ham0")
    before = _pid(lab, "ham0")
    lab.run("ssh", "ham0", "reboot")
    deadline = time.monotonic() + 20
    while _pid(lab, "ham0") in (before, "0"):
        assert time.monotonic() < deadline
    lab.wait("on", "ham0")
    left = lab.run("sh", "-c", "ls -d /run/gone /tmp/gone /root/kept; pgrep -x sleep", node="ham0").stdout
    assert left == "/root/kept\n1\n"


def test_guest_runs_and_a_power_cut_ends_it(lab: RealLab) -> None:
    lab.run("tee", "/root/small.xml", node="ham0", input=DOMAIN)
    made = lab.run("sh", "-c", "virsh -q define small.xml && virsh -q start small && virsh list --name", node="ham0")
    assert made.stdout.split() == ["small"], made.stderr
    lab.off("ham0")
    lab.on("ham0")
    listed = lab.run("virsh", "-q", "-c", "qemu+ssh://ham0/system", "list", "--all").stdout
    assert listed.split() == ["-", "small", "shut", "off"]
    lab.run("virsh", "undefine", "small", node="ham0")


# Faults


def test_frozen_node_accepts_and_says_nothing(lab: RealLab) -> None:
    lab.freeze("ham0")
    assert lab.states()["ham0"] == "frozen"
    assert lab.python(CONNECT, "ham0") == "accepted"
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run("ssh", "ham0", "true", timeout=1)
    lab.thaw("ham0")
    assert lab.run("ssh", "ham0", "true").returncode == 0


def test_frozen_libvirtd_leaves_ssh_working(lab: RealLab) -> None:
    ask = ("virsh", "-c", "qemu+ssh://ham0/system", "list")
    lab.freeze("ham0", libvirtd=True)
    assert lab.states()["ham0"] == "on, libvirtd frozen"
    assert lab.run("ssh", "ham0", "true").returncode == 0
    with pytest.raises(subprocess.TimeoutExpired):
        lab.run(*ask, timeout=1)
    lab.thaw("ham0", libvirtd=True)
    assert lab.run(*ask).returncode == 0


def test_killed_libvirtd_can_be_started_again(lab: RealLab) -> None:
    end = "read -r pid </run/libvirtd.pid; kill $pid; tail --pid=$pid -f /dev/null"
    lab.run("sh", "-c", end, node="ham0")
    assert lab.run("virsh", "-c", "qemu+ssh://ham0/system", "list").returncode != 0
    assert lab.run("libvirtd", "--daemon", node="ham0").returncode == 0
    lab.wait("on", "ham0")
    assert lab.run("virsh", "-c", "qemu+ssh://ham0/system", "list").returncode == 0
    assert "defunct" not in lab.run("ps", "ax", node="ham0").stdout


def test_changed_forgotten_and_remembered_keys(lab: RealLab) -> None:
    def log_in() -> str:
        return lab.run("ssh", "-o", "BatchMode=yes", "ham0", "hostname").stderr

    lab.rekey("ham0")
    assert "IDENTIFICATION HAS CHANGED" in log_in()
    lab.forget("ham0")
    assert log_in() == "Host key verification failed.\n"
    lab.lab("remember", "ham0")
    assert log_in() == ""


def test_lost_packet_delays_one_connection(lab: RealLab) -> None:
    lab.lose("ham0")
    assert [lab.python(CONNECT, "ham0") for _ in range(2)] == ["silent", "accepted"]


# Commands in a lab


def test_exec_passes_status_and_streams(lab: RealLab) -> None:
    for node in (None, "ham0"):
        done = lab.run("sh", "-c", "cat; echo lost >&2; exit 7", node=node, input="found")
        assert (done.returncode, done.stdout, done.stderr) == (7, "found", "lost\n")


def test_interrupt_reaches_the_command_and_not_what_waits_for_it(lab: RealLab) -> None:
    script = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.1; done"
    for node in (None, "ham0"):
        words = lab.command("sh", "-c", script, node=node)
        with contextlib.closing(pexpect.spawn(words[0], words[1:], encoding="utf-8", timeout=10)) as terminal:
            terminal.expect("ready")
            terminal.sendintr()
            terminal.expect("caught")
            terminal.expect(pexpect.EOF)
            terminal.wait()
            assert terminal.exitstatus == 5


def test_killed_exec_leaves_no_command(lab: RealLab) -> None:
    for node in (None, "ham0"):
        with pytest.raises(subprocess.TimeoutExpired):
            lab.run("sh", "-c", "exec sleep 12345", node=node, timeout=1)
        assert lab.run("pgrep", "-f", "sleep 12345").stdout == ""


def test_operator_has_a_home_and_surroundings_of_his_own(lab: RealLab) -> None:
    told = lab.run("sh", "-c", 'echo "$HOME $MCLU_CONFIG $XDG_RUNTIME_DIR [$SSH_AUTH_SOCK] $(id -un)"').stdout
    assert told == f"{lab.path}/home {lab.path}/mclu.conf {lab.path}/run [] root\n"
    # OpenSSH asks passwd, not the environment.
    assert f"{lab.path}/home/.ssh/known_hosts" in lab.run("ssh", "-G", "ham0").stdout.replace("~", f"{lab.path}/home")


def test_errors_are_one_line(lab: RealLab, words: tuple[str, ...]) -> None:
    def complaint(*argv: str) -> tuple[int, str]:
        done = execute([*words, *argv])
        return done.returncode, done.stderr

    name = ("--name", lab.name)
    assert complaint("on", *name, "ham9") == (1, "lab: ham9: no such node\n")
    assert complaint("exec", *name, "--node", "ham1", "true") == (1, "lab: ham1: is off\n")
    assert complaint("up", *name, "1") == (1, f"lab: a lab '{lab.name}' is up already\n")
    assert complaint("list", "--name", "nobody") == (1, "lab: no lab 'nobody' is up\n")
    assert complaint("up", "--name", "a/b", "1")[0] == 1
    assert complaint("up", "none")[0] == complaint("exec", *name)[0] == 2


# Labs and the host


def test_two_labs_side_by_side_do_not_see_each_other(lab: RealLab, words: tuple[str, ...]) -> None:
    other = RealLab(2, on=2, words=words)
    try:
        keys = [(each.path / "home/.ssh/known_hosts").read_text().splitlines()[0] for each in (lab, other)]
        assert keys[0] != keys[1]
        lab.off("ham0")
        assert lab.python(CONNECT, "ham0") == "silent"
        assert other.run("ssh", "ham0", "hostname").stdout == "ham0\n"
        lab.python(WAKE, _mac(other, "ham1"), "9")
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
    """Return whether all these processes, given as pidfds, end in time."""
    deadline = time.monotonic() + seconds
    waiting = set(descriptors)
    while waiting and (left := deadline - time.monotonic()) > 0:
        waiting -= set(select.select(waiting, [], [], left)[0])
    for descriptor in descriptors:
        os.close(descriptor)
    return not waiting


def _watched(lab: RealLab) -> tuple[int, list[int]]:
    """Return the pid of the outer process, and pidfds of it and of all that descends from it."""
    outer = int((lab.path / "outer").read_text().split()[0])
    return outer, [os.pidfd_open(pid) for pid in (outer, *_descendants(outer))]


def test_killing_the_outer_process_leaves_nothing(words: tuple[str, ...]) -> None:
    lab = RealLab(2, words=words)
    outer, watched = _watched(lab)
    assert len(watched) >= 2 + 2 * 3  # Outer process, pid 1 and, for each node, pid 1, sshd and libvirtd.
    os.kill(outer, signal.SIGKILL)
    assert _ended(watched)
    assert str(lab.path) not in Path("/proc/self/mounts").read_text()
    assert lab.attempt("exec", "true").stderr == f"lab: no lab '{lab.name}' is up\n"
    execute([*words, "list"])
    assert not lab.path.exists()


def test_lab_ends_with_the_process_that_it_was_made_for(words: tuple[str, ...]) -> None:
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
    """Return what of the host a lab could have touched."""
    listening = {
        line.split()[1]
        for protocol in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]
        # On the loopback address, others may come and go meanwhile.
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


def test_the_host_is_not_touched(words: tuple[str, ...]) -> None:
    before = _host()
    lab = RealLab(2, on=1, words=words)
    lab.on("ham1")
    assert _host() == before
    lab.down()
    assert _host() == before
    assert not lab.path.exists()


def test_up_is_quick(words: tuple[str, ...]) -> None:
    began = time.monotonic()
    RealLab(4, words=words).down()
    assert time.monotonic() - began < 30  # It takes 0.6 s on two processors; this is for a machine in distress.
