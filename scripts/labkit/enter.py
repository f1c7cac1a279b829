"""Commands in a lab: as the operator on the LAN, or in a node."""

import os
import signal
from pathlib import Path
from typing import NoReturn

from labkit import state_dir
from labkit.errors import LabError
from labkit.state_dir import Lab

NODE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The command ends with its nsenter, so that a killed `lab exec` leaves nothing behind.
TIED = ("setpriv", "--pdeathsig", "KILL", "--")


def node_pid(lab: Lab, name: str) -> int:
    """Return the pid of a node's pid 1, in the pid namespace of the lab."""
    pids = {node: pid for node, pid, _ in state_dir.node_states(lab)}
    if name not in pids:
        raise LabError(f"{name}: no such node")
    if not pids[name]:
        raise LabError(f"{name}: is off")
    return pids[name]


def run(lab: Lab, command: list[str], node: str | None) -> NoReturn:
    """Replace this process by a command in the lab."""
    inner = state_dir.inner_pid(lab)
    enter = ["nsenter", f"--target={inner}", "--net", "--mount", "--pid", "--ipc"]
    if Path("/proc/self/ns/user").readlink() != Path(f"/proc/{inner}/ns/user").readlink():
        enter.append("--user")
    if node is None:
        inside = ["env", *_signals(), *_operator(lab), *command]
    else:
        deeper = ["nsenter", f"--target={node_pid(lab, node)}", "--net", "--mount", "--uts", "--ipc", "--pid", "--"]
        inside = [*deeper, *TIED, "env", *_signals(), *_on_node(), *command]
    # The command receives the keyboard's signals itself. nsenter, which waits for it, must survive them.
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvp(enter[0], [*enter, "--", *TIED, *inside])


def _signals() -> list[str]:
    return ["--default-signal=INT,QUIT,PIPE"]


def _operator(lab: Lab) -> list[str]:
    """Return the arguments of env(1) that change the caller's environment into the operator's."""
    strange = [name for name in os.environ if name.startswith(("XDG_", "SSH_", "DBUS_", "LIBVIRT_"))]
    path = os.environ.get("PATH", os.defpath)
    system = [part for part in ("/usr/sbin", "/sbin") if part not in path.split(":")]
    ours = {
        "HOME": str(lab.home),
        "USER": "root",
        "LOGNAME": "root",
        "XDG_RUNTIME_DIR": str(lab.run),
        "MCLU_CONFIG": str(lab.config),
        "PATH": ":".join([path, *system]),
    }
    return [
        f"--chdir={Path.cwd()}",
        *(f"--unset={name}" for name in strange),
        *(f"{name}={value}" for name, value in ours.items()),
    ]


def _on_node() -> list[str]:
    """Return the arguments of env(1) for the environment that sshd provides."""
    kept = [f"{name}={os.environ[name]}" for name in ("TERM", "LANG") if name in os.environ]
    return ["--ignore-environment", "--chdir=/root", "HOME=/root", "USER=root", f"PATH={NODE_PATH}", *kept]
