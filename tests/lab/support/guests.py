"""Templates for tests, and the guests and files of a node."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.support.cli import virsh, wait_until
from tests.lab.support.lab import REPOSITORY, RealLab
from tests.support.templates import write_template

if TYPE_CHECKING:
    import subprocess

IMAGES = "/var/lib/libvirt/images"
SHIPPED = REPOSITORY / "templates"
# Makes an empty disk at once; the guest's firmware finds nothing to start.
BUILD = 'qemu-img create -q -f "$format" "$output" "${size:-1M}"'
# Makes the build wait until a test writes to the pipe `gate`.
WAIT = "mkfifo gate; echo waiting; read -r line <gate"
# Everything that boots and guests leave behind, except the directories that libvirt creates for a guest and keeps.
_TRACES = f"""
virsh -q list --all
find {IMAGES} /tmp -mindepth 1 -printf '%p %s %l\\n' | sort
find /var/lib/libvirt /etc/libvirt ! -type d ! -path '{IMAGES}/*' -print | sort
ps axww -o ppid=,args= | grep -v -e 'sshd' -e ' ps axww' -e ' sh -c' -e ' grep -v' -e ' sleep infinity'
"""
_CLEAN = f"""
for uuid in $(virsh -q list --all --uuid); do
    virsh -q destroy "$uuid"
    virsh -q undefine --nvram --managed-save --snapshots-metadata --checkpoints-metadata "$uuid"
done >/dev/null 2>&1
for pool in $(virsh -q pool-list --all --name); do virsh -q pool-destroy "$pool"; virsh -q pool-undefine "$pool"; done
umount -q {IMAGES}
find {IMAGES} /tmp -mindepth 1 -delete
"""


def template(directory: Path, name: str, build: str = BUILD, **answers: str) -> None:
    """Write a template; the build and the further answers (`disk_bus` for `disk-bus`) are shell scripts."""
    sizes = {"minimum_memory": "echo 16M", "recommended_memory": "echo 32M"}
    commands = {"base_image": "echo nothing", **sizes, "build": build, **answers}
    write_template(directory, name, **{parameter: f"set -eu\n{shell}" for parameter, shell in commands.items()})


def traces(lab: RealLab, node: str) -> str:
    """Return the guests of a node, the files of boots and guests, and the processes."""
    return sh(lab, node, _TRACES + "true")


def sh(lab: RealLab, node: str, script: str) -> str:
    """Run a script on a node, and return its output."""
    completed = lab.run("sh", "-c", script, node=node)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def images(lab: RealLab, node: str) -> list[str]:
    """Return the file names in a node's directory of images."""
    return sorted(sh(lab, node, f"ls -A {IMAGES}").split())


def clean(lab: RealLab, *nodes: str) -> None:
    """Remove all guests and files from nodes that are on."""
    for node in nodes:
        lab.run("sh", "-c", _CLEAN, node=node)


def states(lab: RealLab, node: str) -> dict[str, str]:
    """Return the state of each guest of a node, as virsh prints it."""
    lines = [line.split(maxsplit=2) for line in virsh(lab, node, "list", "--all").splitlines() if line]
    return {name: state for _, name, state in lines}


def wait_for_gate(lab: RealLab, node: str) -> str:
    """Wait until the build on a node waits at its gate, and return the gate."""
    wait_until(lambda: sh(lab, node, "find /tmp -name gate"))
    return sh(lab, node, "find /tmp -name gate").strip()


def open_gate(lab: RealLab, node: str) -> None:
    """Continue the build on a node."""
    sh(lab, node, f"echo >{wait_for_gate(lab, node)}")


def send_signal(command: "subprocess.Popen[str]", name: str) -> None:
    """Send a signal to the process group of a background command."""
    os.killpg(command.pid, getattr(signal, f"SIG{name}"))


def uuid(lab: RealLab, node: str, guest: str) -> str:
    """Return a guest's UUID."""
    return virsh(lab, node, "domuuid", guest).strip()
