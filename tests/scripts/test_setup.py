"""scripts/setup and scripts/demo: output, installed packages, and no other changes of the machine."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.support.waiting import eventually

REPOSITORY = Path(__file__).parents[2]
SETUP, LAB, DEMO = (REPOSITORY / "scripts" / name for name in ("setup", "lab", "demo"))
NOT_SOURCES = shutil.ignore_patterns(".git", ".venv", ".lab", ".*_cache", "__pycache__", "*.egg-info")

# An environment variable that distinguishes processes of these tests from other programs of the machine.
MARK = b"MCLU_TEST_SETUP=%d" % os.getpid()
os.environ["MCLU_TEST_SETUP"] = str(os.getpid())

needs_apt = pytest.mark.skipif(not shutil.which("apt-get"), reason="this is about Debian's packages")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can try this")


def run(*command: str | Path, timeout: float = 600, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False, **options,
    )  # fmt: skip


def listening() -> dict[str, str]:
    """Return the sockets of this machine that anyone can connect or send to, each with its inode."""
    sockets = {}
    for protocol, listens in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        table = Path("/proc/net") / protocol
        # proc(5): local address in the second column, state in the fourth, inode in the tenth.
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            columns = line.split()
            if columns[3] == listens:
                sockets[f"{protocol} {columns[1]}"] = columns[9]
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        columns = line.split()
        # __SO_ACCEPTCON, and a name to connect to.
        if int(columns[3], 16) & 0x10000 and len(columns) > 7:
            sockets[f"unix {columns[7]}"] = columns[6]
    return sockets


def is_stranger(process: Path) -> bool:
    """Return whether a process is neither init, nor in a namespace made here, nor started with our environment."""
    own_namespace = Path("/proc/self/ns/pid").readlink()
    return (
        process.name != "1"
        and (process / "ns/pid").readlink() == own_namespace
        and MARK not in (process / "environ").read_bytes()
    )


def strangers_sockets() -> set[str]:
    """Return the inodes of the sockets that other programs of this machine hold."""
    inodes: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        # A process may have ended, or belong to another user.
        with contextlib.suppress(OSError):
            if is_stranger(process):
                links = [str(descriptor.readlink()) for descriptor in (process / "fd").iterdir()]
                inodes.update(link.removeprefix("socket:[").removesuffix("]") for link in links)
    return inodes


def assert_nothing_new_listens(before: Iterable[str]) -> None:
    def new() -> set[str]:
        strangers = strangers_sockets()
        return {name for name, inode in listening().items() if name not in before and inode not in strangers}

    # A socket whose holder is just changing may go; a service keeps its own.
    eventually(lambda: not new(), 3)
    assert new() == set()


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A fresh checkout, in a directory that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="mclu-setup-") as directory:
        os.chmod(directory, 0o755)  # noqa: PTH101
        yield Path(shutil.copytree(REPOSITORY, Path(directory) / "mclu", ignore=NOT_SOURCES, symlinks=True))


@pytest.fixture
def needs_lab() -> None:
    """Skip where this user may not make the namespaces of a lab; in CI that is a failure."""
    if reason := run(LAB, "can").stderr.strip():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


def test_a_second_setup_does_nothing_silently() -> None:
    assert run(SETUP).returncode == 0
    start = time.monotonic()
    second = run(SETUP, cwd="/")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert time.monotonic() - start < 2


def interrupt(checkout: Path, stage: Callable[[], bool]) -> None:
    """Start a setup, and kill all of it when it has come to `stage`."""
    # A killed pip leaves temporary files, which are removed with the checkout.
    environment = {**os.environ, "TMPDIR": str(checkout.parent)}
    with subprocess.Popen(
        [checkout / "scripts/setup"], start_new_session=True, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert eventually(lambda: stage() or process.poll() is not None, 300)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_an_interrupted_setup_can_be_repeated_and_opens_no_port(checkout: Path) -> None:
    before = listening()
    root, python = checkout / ".lab/root", checkout / ".venv/bin/python"
    if shutil.which("apt-get"):
        interrupt(checkout, (checkout / ".lab/unpacking/root/usr").exists)
        assert not root.exists()
    interrupt(checkout, (checkout / ".venv/bin/pip").exists)

    third = run(checkout / "scripts/setup")
    assert third.returncode == 0, third.stderr
    assert "make .venv" in third.stderr
    assert ".lab/root" not in third.stderr, "files that were complete before the interruption are kept"
    modules = "import cmd2, libvirt, paramiko, mclu_shell; print(mclu_shell.__file__)"
    imported = run(python, "-c", modules, cwd="/")
    assert imported.stdout == f"{checkout}/mclu_shell/__init__.py\n", imported.stderr
    if shutil.which("apt-get"):
        assert list(root.glob("boot/vmlinuz-*"))
        assert list(root.glob("usr/lib/modules/*/kernel"))
        for program in ("usr/sbin/sshd", "usr/sbin/libvirtd"):
            assert (root / program).exists() or Path("/", program).exists()

    again = run(checkout / "scripts/setup")
    assert (again.returncode, again.stderr) == (0, "")
    assert_nothing_new_listens(before)

    with (checkout / "pyproject.toml").open("a") as project:
        project.write("# Changed.\n")
    interrupt(checkout, lambda: not (checkout / ".venv/made-by-setup").exists())


def programs_but(missing: tuple[str, ...], directory: Path) -> Path:
    """Make a directory for PATH in which some programs are missing."""
    directory.mkdir()
    for program in Path("/usr/bin").iterdir():
        if program.name not in missing:
            (directory / program.name).symlink_to(program)
    return directory


def refuse(checkout: Path) -> str:
    """Return the errors of setup for an ordinary user without sudo on a system without packages."""
    commands = programs_but(("sudo", "dpkg-query"), checkout / "commands")
    (commands / "dpkg-query").write_text("#!/bin/sh\n")
    (commands / "dpkg-query").chmod(0o755)
    checkout.chmod(0o777)
    ordinary: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    refused = run(checkout / "scripts/setup", env={"PATH": str(commands)}, **ordinary)
    assert refused.returncode == 1
    assert not (checkout / ".venv").exists()
    return refused.stderr


@needs_apt
def test_setup_without_root_and_sudo_prints_the_command_for_an_administrator(checkout: Path) -> None:
    command = refuse(checkout).partition("try again: ")[2]
    assert command.startswith("apt-get install --no-install-recommends gcc pkg-config libvirt-dev")


# A copy of this system without some packages, made of mounts over the machine's files that end with the shell.
# There is no /run in it, so nothing can reach the machine's own systemd.
LACKING = r"""
set -eu
repository=$1 scratch=$2
shift 2
mount -t tmpfs tmpfs "$scratch"
cd "$scratch"
mkdir system new work repository.new repository.work
mount -t overlay overlay -o lowerdir=/,upperdir=new,workdir=work system
mkdir -p "system$repository"
mount -t overlay overlay -o "lowerdir=$repository,upperdir=repository.new,workdir=repository.work" \
    "system$repository"
mount -t proc proc system/proc
mount --rbind /dev system/dev
# The machine's may be a link into /run.
rm -f system/etc/resolv.conf
cat /etc/resolv.conf >system/etc/resolv.conf
# Debian starts no service if policy-rc.d forbids it, or if the runlevel is unknown.
rm -f system/usr/sbin/policy-rc.d system/usr/sbin/runlevel
printf '#!/bin/sh\necho N 2\n' >system/usr/sbin/runlevel
chmod +x system/usr/sbin/runlevel
cd system
pivot_root . .
umount -l .
cd /
DEBIAN_FRONTEND=noninteractive apt-get purge -y "$@" >&2
# What is started at boot. (Debian 13's openssh-client enables an agent in a user's own session, as it does anywhere.)
find /etc/systemd/system -path '*.wants/*' >/tmp/enabled
echo "--- setup ---" >&2
"$repository/scripts/setup"
"$repository/scripts/setup"
dpkg --status "$@" >/dev/null
find /etc/systemd/system -path '*.wants/*' | diff /tmp/enabled - >&2
echo look
read -r line
"""


@needs_apt
@needs_root
@pytest.mark.slow
@pytest.mark.usefixtures("needs_lab")
def test_missing_packages_are_installed_without_starting_a_service(checkout: Path, tmp_path: Path) -> None:
    words = refuse(checkout).partition(" --no-install-recommends ")[2].split()
    # dpkg needs Python to remove it, and essential packages cannot be removed.
    shown = run("dpkg-query", "-W", "-f", "${Package} ${Essential}${Important}\n", *words).stdout.splitlines()
    always = {line.split()[0] for line in shown if "yes" in line}
    packages = [word for word in words if word not in always and not word.startswith("python3")]
    before = listening()
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", LACKING, "sh"]
    with subprocess.Popen(
        [*command, REPOSITORY, tmp_path, *packages],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        if process.stdout.readline() == "look\n":
            assert_nothing_new_listens(before)
        _, errors = process.communicate("continue\n", timeout=30)
    assert process.returncode == 0, errors
    announced = errors.partition("--- setup ---")[2].splitlines()
    assert announced[1:] == [
        "setup will:",
        f"  install packages: {' '.join(packages)}",
        "It starts no service. All output goes to .lab/setup.log.",
        "setup: done",
    ]


def left_of(name: str) -> list[str]:
    """Return the remains of a lab: itself, or processes with its name on their command line."""
    left = ["lab"] if run(LAB, "list", "--name", name).returncode == 0 else []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # It has ended by now.
        if any(word.decode(errors="replace").rpartition("/")[2] == name for word in words):
            left.append(b" ".join(words).decode(errors="replace"))
    return left


@pytest.mark.slow
@pytest.mark.usefixtures("needs_lab")
def test_the_demo_has_one_real_node_on_and_three_off_and_leaves_nothing() -> None:
    with subprocess.Popen(
        [DEMO, "-c", "status"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
    ) as demo:  # fmt: skip
        status, errors = demo.communicate(timeout=120)
    assert demo.returncode == 0, errors
    assert "real nodes" in errors
    states = [line for line in status.splitlines() if line.startswith("ham")]
    assert states == ["ham0 on", "ham1 off", "ham2 off", "ham3 off"]
    assert left_of(f"demo-{demo.pid}") == []


@needs_apt
def test_the_demo_simulates_nodes_if_a_lab_is_impossible(tmp_path: Path) -> None:
    commands = programs_but(("unshare",), tmp_path / "commands")
    demo = run(DEMO, "-c", "status", env={"PATH": str(commands), "HOME": str(tmp_path)})
    assert demo.returncode == 0, demo.stderr
    assert "simulated" in demo.stderr
    assert "unshare" in demo.stderr
    assert " on\n" in demo.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("needs_lab")
@pytest.mark.parametrize("end", ["quit", signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_demo_survives_ctrl_c_and_leaves_nothing_after_its_end(end: str | signal.Signals) -> None:
    environment = {**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1", "NO_COLOR": "1"}
    demo = pexpect.spawn(str(DEMO), env=environment, dimensions=(24, 100), encoding="utf-8", timeout=30)
    name = f"demo-{demo.pid}"
    demo.expect("mclu>")
    assert left_of(name)
    demo.sendintr()
    demo.send("status\r")
    demo.expect("ham3 off")
    if isinstance(end, str):
        demo.send(end + "\r")
    else:
        demo.kill(end)
    demo.expect(pexpect.EOF)
    demo.close()
    assert (demo.exitstatus == 0) == (end == "quit")
    assert eventually(lambda: left_of(name) == [], 5), left_of(name)
