"""What a node does from the moment the power comes: its namespaces, its mounts, its network, its daemons."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NoReturn

from labkit import kernel, lan
from labkit.errors import LabError
from labkit.node import Node

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}
# What a node reports when its daemons are up; anything else is an error text.
BOOTED = "booted"
NAMESPACES = kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC
# Sources are relative to the node's directory, because a mount may hide the way to it (it may be below /run).
BINDS = {
    "../shared/passwd": "/etc/passwd",
    "../shared/commands": "/usr/local/sbin",
    "hostname": "/etc/hostname",
    "etc-ssh": "/etc/ssh",
    "etc-libvirt": "/etc/libvirt",
    "lib-libvirt": "/var/lib/libvirt",
    "cache-libvirt": "/var/cache/libvirt",
    "log": "/var/log",
    "root": "/root",
    "tmp": "/tmp",
    "run": "/run",
}


def power_on(node: Node) -> int:
    """Start a node, and return a descriptor that will give BOOTED or an error text."""
    report_read, report_write = os.pipe()
    pid_read, pid_write = os.pipe()
    go_read, go_write = os.pipe()
    helper = os.fork()
    if helper == 0:
        _become_node(node, report_write, pid_write, go_read, go_write)
    for descriptor in (report_write, pid_write, go_read):
        os.close(descriptor)
    node.pid = int(os.read(pid_read, 20) or b"0")
    os.close(pid_read)
    os.waitpid(helper, 0)
    if node.pid:
        lan.plug_in(node.name, node.number, node.pid)
        os.write(go_write, b"1")
    os.close(go_write)
    return report_read


def _become_node(node: Node, report: int, pid_write: int, go_read: int, go_write: int) -> NoReturn:
    """Make the namespaces and the node's pid 1, in a fork of the lab's process; never returns into its code."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        kernel.unshare(NAMESPACES)
        pid = os.fork()
        if pid:
            os.write(pid_write, str(pid).encode())
            os._exit(0)
        os.close(go_write)
        if os.read(go_read, 1):
            _boot(node, report)
    except BaseException as error:  # noqa: BLE001 – a fork must not run on into the code of its parent.
        os.write(report, f"{node.name}: {error!r}".encode())
    os._exit(1)


def _boot(node: Node, report: int) -> NoReturn:
    os.chdir(node.directory)
    _fresh("run", 0o755)
    _fresh("tmp", 0o1777)
    Path("run/sshd").mkdir(mode=0o755)
    # /var/lock leads there; libvirtd locks a guest's console in it, as UUCP did.
    Path("run/lock").mkdir(mode=0o755)
    kernel.set_host_name(node.name)
    lan.configure_node(node.number)
    _mount_all()
    os.chdir("/")
    _start_daemons()
    os.write(report, BOOTED.encode())
    # What pid 1 has to do is to be there and to reap. The kernel reaps for a process that ignores SIGCHLD, and keeps
    # all other signals from it, so the smallest program there is does it.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass  # Those that ended before.
    os.execve("/usr/bin/sleep", ["sleep", "infinity"], ENVIRONMENT)


def _fresh(name: str, mode: int) -> None:
    """Empty a directory whose contents do not outlive a reboot."""
    shutil.rmtree(name)
    Path(name).mkdir()
    Path(name).chmod(mode)


def _mount_all() -> None:
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    kernel.bind("/dev/pts/ptmx", "/dev/ptmx")
    kernel.mount("sysfs", "/sys", "sysfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    for source, target in BINDS.items():
        kernel.bind(source, target)


def _start_daemons() -> None:
    with Path("/var/log/boot").open("w") as log:
        commands = (["/usr/sbin/sshd", "-E", "/var/log/sshd"], ["/usr/sbin/libvirtd", "--daemon"])
        running = [
            subprocess.Popen(command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            for command in commands
        ]
        failed = [process.args for process in running if process.wait() != 0]
    if failed:
        raise LabError(Path("/var/log/boot").read_text().strip() or f"{failed[0]!r} failed")
