"""Set-up of the outer namespace of a lab. Started by `launch` as pid 1 of that namespace; then runs the server."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from labkit import boot, files, kvm, lan, syscalls
from labkit.errors import LabError
from labkit.node import Node
from labkit.server import Server, reply
from labkit.state_dir import Lab


def main(arguments: list[str]) -> None:
    """Run a lab.

    The arguments: state directory, software tree, number of nodes, number of nodes that are on, the socket for "ok"
    when they answer, and the pidfd of the process with which the lab ends (or -1).
    """
    lab, software = Lab(Path(arguments[0])), Path(arguments[1])
    count, on, ready, parent = map(int, arguments[2:])
    os.umask(0o022)
    for descriptor in (ready, parent):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)

    client = socket.socket(fileno=ready)
    nodes = [Node(number, lab.nodes / f"ham{number}") for number in range(count)]
    try:
        listener = _set_up(lab, software, nodes)
        server = Server(lab, nodes, listener, parent if parent >= 0 else None)
        server.switch_on(nodes[:on], client)
        server.serve()
    except (LabError, OSError, subprocess.SubprocessError) as error:
        if client.fileno() >= 0:
            reply(client, str(error))
        raise
    finally:
        _remove_state(lab)


def _set_up(lab: Lab, software: Path, nodes: list[Node]) -> socket.socket:
    syscalls.mount("tmpfs", _mkdir(lab.nodes), "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=0755")
    _use_software(software)
    for node in nodes:
        files.make_disk(node)
    files.write_operator(lab, nodes)
    files.write_shared(lab, nodes)
    public_key = (lab.home / ".ssh/id_ed25519.pub").read_text()
    for node in nodes:
        files.let_in(node, public_key)
    has_kvm = kvm.is_usable(lab.path.parent)
    lab.config.write_text(files.mclu_conf(nodes, lan.BROADCAST, has_kvm=has_kvm))
    _overlay_host(lab.nodes / "shared/above")
    if not has_kvm:
        kvm.hide(lab.nodes / "shared")
    lan.make_bridge()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(lab.control))
    listener.listen(64)
    return listener


def _mkdir(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _use_software(tree: Path) -> None:
    """Mount the programs unpacked for the lab over the host's /usr, in this namespace only."""
    if (tree / "usr").is_dir():
        _overlay(tree / "usr", "/usr")
    if (tree / "boot").is_dir():
        syscalls.bind(tree / "boot", "/boot")


def _overlay_host(above: Path) -> None:
    """Mount the lab's own /etc over the host's, with mount points for the nodes that the host does not have.

    A bind mount of single files would not last. A change of users on the host replaces /etc/passwd, and the kernel then
    removes the mounts on the old file in all namespaces.
    """
    missing = [target for target in map(Path, boot.BINDS.values()) if not target.exists()]
    for target in missing:
        (above / target.relative_to("/")).mkdir(parents=True)
    for parent in sorted({Path("/etc"), *(target.parent for target in missing)}):
        _overlay(above / parent.relative_to("/"), str(parent))


def _overlay(above: Path, below: str) -> None:
    try:
        syscalls.mount("overlay", below, "overlay", 0, f"lowerdir={above}:{below}")
    except OSError as error:
        fact = f"cannot mount an overlay on {below}: {error.strerror}; without root, use Linux 5.11 or newer"
        raise LabError(fact) from error


def _remove_state(lab: Lab) -> None:
    """Remove the state directory: no other process may be left to do it."""
    with contextlib.suppress(OSError):
        syscalls.unmount(lab.nodes)
    shutil.rmtree(lab.path, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
