"""Makes the outer namespace a lab, then runs it. Started by `launch` as pid 1 of that namespace."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from labkit import boot, furnish, kernel, kvm, lan
from labkit.errors import LabError
from labkit.node import Node
from labkit.place import Lab
from labkit.room import Room, reply


def main(arguments: list[str]) -> None:
    """Run a lab.

    The arguments: state directory, software tree, number of nodes, how many are switched on, the socket on which to
    say that they answer, and the pidfd of the process with which the lab ends (or -1).
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
        room = Room(lab, nodes, listener, parent if parent >= 0 else None)
        room.switch_on(nodes[:on], client)
        room.serve()
    except (LabError, OSError, subprocess.SubprocessError) as error:
        if client.fileno() >= 0:
            reply(client, str(error))
        raise
    finally:
        _clear_away(lab)


def _set_up(lab: Lab, software: Path, nodes: list[Node]) -> socket.socket:
    kernel.mount("tmpfs", _made(lab.nodes), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755")
    _use_software(software)
    for node in nodes:
        furnish.make_disk(node)
    furnish.furnish_operator(lab, nodes)
    furnish.furnish_shared(lab, nodes)
    public_key = (lab.home / ".ssh/id_ed25519.pub").read_text()
    for node in nodes:
        furnish.let_in(node, public_key)
    has_kvm = kvm.is_usable(lab.path.parent)
    lab.config.write_text(furnish.mclu_conf(nodes, lan.BROADCAST, has_kvm=has_kvm))
    _lay_over_host(lab.nodes / "shared/above")
    if not has_kvm:
        kvm.hide(lab.nodes / "shared")
    lan.make_bridge()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(lab.control))
    listener.listen(64)
    return listener


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


def _use_software(tree: Path) -> None:
    """Lay what was unpacked for the lab over the host's /usr, in this namespace only."""
    if (tree / "usr").is_dir():
        _lay_over(tree / "usr", "/usr")
    if (tree / "boot").is_dir():
        kernel.bind(tree / "boot", "/boot")


def _lay_over_host(above: Path) -> None:
    """Lay the lab's own /etc over the host's, and directories on which the nodes can mount theirs where none are.

    A file that is mounted on another does not last: whoever adds a user on the host puts a new /etc/passwd in the
    place of the old one, and the kernel then takes the mounts on the old one away, in all namespaces.
    """
    missing = [target for target in map(Path, boot.BINDS.values()) if not target.exists()]
    for target in missing:
        (above / target.relative_to("/")).mkdir(parents=True)
    for parent in sorted({Path("/etc"), *(target.parent for target in missing)}):
        _lay_over(above / parent.relative_to("/"), str(parent))


def _lay_over(above: Path, below: str) -> None:
    try:
        kernel.mount("overlay", below, "overlay", 0, f"lowerdir={above}:{below}")
    except OSError as error:
        why = f"{below}: no overlay mounts here (Linux 5.11 has them for all users): {error.strerror}"
        raise LabError(why) from error


def _clear_away(lab: Lab) -> None:
    """Remove the state directory: after this process nobody may be left to do it."""
    with contextlib.suppress(OSError):
        kernel.unmount(lab.nodes)
    shutil.rmtree(lab.path, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
