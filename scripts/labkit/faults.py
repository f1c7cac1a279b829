"""Faults of nodes: frozen processes, lost packets, changed host keys."""

import contextlib
import os
import select
import signal
import subprocess
import time
from pathlib import Path

from labkit import files, readiness
from labkit.errors import LabError
from labkit.node import Node

FORGET_RULES = """\
table inet lab
delete table inet lab
"""
LOSE_RULES = """\
table inet lab {{
    chain lose {{
        type filter hook input priority -300;
        tcp flags & (syn | ack) == syn numgen inc mod 1000000000 < {packets} drop
    }}
}}
"""


def processes(node: Node, name: str = "") -> list[int]:
    """Return the pids of a node's processes, all or those of one name."""
    namespace = Path(f"/proc/{node.pid}/ns/pid").readlink()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # A process may end during this.
        with contextlib.suppress(OSError):
            if (entry / "ns/pid").readlink() == namespace and name in ("", (entry / "comm").read_text().strip()):
                found.append(int(entry.name))
    return found


def freeze(node: Node, *, libvirtd: bool) -> None:
    """Stop a whole node, or its libvirtd; the kernel still accepts connections for it."""
    stopped: set[int] = set()
    # Repeat for processes that were forked during the previous round.
    while more := set(processes(node, "libvirtd" if libvirtd else "")) - stopped:
        _signal(more, signal.SIGSTOP)
        stopped |= more
    if not stopped:
        raise LabError(f"{node.name}: libvirtd does not run")
    node.frozen = "libvirtd" if libvirtd and node.frozen != "node" else "node"


def thaw(node: Node, *, libvirtd: bool) -> None:
    """Continue a node, or its libvirtd."""
    _signal(processes(node, "libvirtd" if libvirtd else ""), signal.SIGCONT)
    if not libvirtd or node.frozen == "libvirtd":
        node.frozen = ""


def _signal(pids: set[int] | list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def in_node(node: Node, command: list[str], text: str = "") -> None:
    """Run a command in the node's namespaces, with `text` as its input."""
    enter = ["nsenter", f"--target={node.pid}", "--net", "--mount", "--uts", "--ipc", "--pid", "--"]
    done = subprocess.run([*enter, *command], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{node.name}: {done.stderr.strip() or command[0]}")


def lose(node: Node, packets: int) -> None:
    """Drop the next TCP packets to a node that would open a connection; 0 stops it."""
    rules = LOSE_RULES.format(packets=packets) if packets else ""
    in_node(node, ["nft", "-f", "-"], FORGET_RULES + rules)


def rekey(node: Node) -> None:
    """Give a node a new SSH host key, as after a reinstallation."""
    files.make_keys([node.host_key])
    if not node.pid:
        return
    for pid in processes(node, "sshd"):
        if _parent(pid) == node.pid:
            _end(pid)
    in_node(node, ["/usr/sbin/sshd", "-E", "/var/log/sshd"])
    if complaint := readiness.sshd_complaint(node, time.monotonic() + 10):
        raise LabError(complaint)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        select.select([descriptor], [], [], 5)
        os.close(descriptor)


def forget(node: Node, known_hosts: Path) -> None:
    """Remove a node's line from known_hosts."""
    lines = known_hosts.read_text().splitlines(keepends=True) if known_hosts.exists() else []
    known_hosts.write_text("".join(line for line in lines if node.name not in line.split()[0].split(",")))


def remember(node: Node, known_hosts: Path) -> None:
    """Write a node's current key to known_hosts, in place of any other of that node."""
    forget(node, known_hosts)
    with known_hosts.open("a") as file:
        file.write(files.known_host(node))


def inflict(verb: str, node: Node, options: dict[str, int], known_hosts: Path) -> None:
    """Carry out a request for a fault; ignore other verbs."""
    if verb in ("freeze", "thaw", "lose") and not node.pid:
        raise LabError(f"{node.name}: is off")
    match verb:
        case "freeze":
            freeze(node, libvirtd=bool(options["libvirtd"]))
        case "thaw":
            thaw(node, libvirtd=bool(options["libvirtd"]))
        case "lose":
            lose(node, options["packets"])
        case "rekey":
            rekey(node)
        case "forget":
            forget(node, known_hosts)
        case "remember":
            remember(node, known_hosts)
