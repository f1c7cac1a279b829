"""Boot of a node: its namespaces, mounts, network and daemons."""

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NoReturn

from labkit import lan, syscalls
from labkit.errors import LabError
from labkit.node import Node

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}
# The report of a node whose daemons run. Any other report is an error text.
BOOTED = "booted"
NAMESPACES = (
    syscalls.CLONE_NEWNET | syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
)
# Sources are relative to the node's directory, because a mount may hide its path (it may be below /run).
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
    """Start a node; return a descriptor on which it reports BOOTED or an error text."""
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
    """Make the namespaces and the node's pid 1, in a fork of the lab's process; never return into its code."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        syscalls.unshare(NAMESPACES)
        pid = os.fork()
        if pid:
            os.write(pid_write, str(pid).encode())
            os._exit(0)
        os.close(go_write)
        if os.read(go_read, 1):
            _boot(node, report)
    except BaseException as error:  # noqa: BLE001 – a fork must not continue in the code of its parent.
        os.write(report, f"{node.name}: {error!r}".encode())
    os._exit(1)


def _boot(node: Node, report: int) -> NoReturn:
    os.chdir(node.directory)
    _fresh("run", 0o755)
    _fresh("tmp", 0o1777)
    Path("run/sshd").mkdir(mode=0o755)
    # /var/lock is a link to it. libvirtd makes a UUCP lock file there for a guest's console.
    Path("run/lock").mkdir(mode=0o755)
    syscalls.set_host_name(node.name)
    lan.configure_node(node.number)
    _mount_all()
    os.chdir("/")
    _start_daemons()
    os.write(report, BOOTED.encode())
    # A pid 1 must exist and reap its children. The kernel reaps for a process that ignores SIGCHLD, and does not
    # deliver other signals to a pid 1 without handlers, so sleep(1) is enough.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass  # Reap the children that ended before.
    os.execve("/usr/bin/sleep", ["sleep", "infinity"], ENVIRONMENT)


def _fresh(name: str, mode: int) -> None:
    """Empty a directory whose contents do not survive a reboot."""
    shutil.rmtree(name)
    Path(name).mkdir()
    Path(name).chmod(mode)


def _mount_all() -> None:
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    syscalls.mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    syscalls.bind("/dev/pts/ptmx", "/dev/ptmx")
    syscalls.mount("sysfs", "/sys", "sysfs", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    for source, target in BINDS.items():
        syscalls.bind(source, target)


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
