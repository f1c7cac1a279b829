"""Start and end of labs, on the host."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

from labkit import state_dir
from labkit.errors import LabError
from labkit.state_dir import Lab

REPOSITORY = Path(__file__).resolve().parents[2]
SOFTWARE = REPOSITORY / ".lab/root"
NAMESPACES = ("--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc")


def user_namespace() -> tuple[str, ...]:
    """Return the options of unshare before `--net`: root needs no user namespace."""
    return () if os.geteuid() == 0 else state_dir.IN_USER_NAMESPACE[1:]


def up(lab: Lab, count: int, on: int, parent: int | None) -> None:
    """Make a lab; return when its nodes answer."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    _keep_standard_descriptors()
    parent_fd = _pidfd(parent) if parent else -1
    ready, theirs = socket.socketpair()
    with state_dir.locked():
        state_dir.sweep_locked()
        try:
            lab.path.mkdir(mode=0o700)
        except FileExistsError:
            raise LabError(f"a lab '{lab.name}' is up already") from None
        arguments = [str(lab.path), str(SOFTWARE), str(count), str(on), str(theirs.fileno()), str(parent_fd)]
        process = _start(lab, arguments, [fd for fd in (theirs.fileno(), parent_fd) if fd >= 0])
        # If it has ended already, its error is in the socket or in the log.
        with contextlib.suppress(FileNotFoundError):
            lab.outer.write_text(f"{process.pid} {state_dir.start_time(process.pid)}")
    theirs.close()
    try:
        answer = _read_all(ready)
        if answer != "ok":
            raise LabError(answer or _last_line(lab) or "the lab ended during its start")
    except BaseException:
        process.kill()
        process.wait()
        state_dir.remove(lab)
        raise


def _keep_standard_descriptors() -> None:
    """Open descriptors 0 to 2 if they are closed, so that no pipe gets their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        raise LabError(f"--parent {pid}: {error.strerror}") from error


def environment() -> dict[str, str]:
    """Return an environment whose PATH includes the sbin directories."""
    return {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}


def _start(lab: Lab, arguments: list[str], descriptors: list[int]) -> subprocess.Popen[bytes]:
    with lab.log.open("w") as log:
        return subprocess.Popen(
            ["unshare", *user_namespace(), *NAMESPACES, sys.executable, "-m", "labkit.namespace", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env={**environment(), "PYTHONPATH": str(Path(__file__).parents[1])},
            start_new_session=True,
            pass_fds=descriptors,
        )


def _read_all(connection: socket.socket) -> str:
    with connection, connection.makefile() as file:
        return file.read()


def _last_line(lab: Lab) -> str:
    lines = lab.log.read_text().splitlines() if lab.log.exists() else []
    return lines[-1] if lines else ""


def down(lab: Lab) -> None:
    """End a lab; return when nothing of it is left."""
    state_dir.sweep()
    inner = state_dir.inner_pid(lab)
    watched = []
    with contextlib.suppress(ProcessLookupError):
        watched = [os.pidfd_open(state_dir.outer_pid(lab)), os.pidfd_open(inner)]
        signal.pidfd_send_signal(watched[0], signal.SIGKILL)
    for descriptor in watched:
        select.select([descriptor], [], [])
        os.close(descriptor)
    with state_dir.locked():
        if not state_dir.outer_pid(lab):
            state_dir.remove(lab)
