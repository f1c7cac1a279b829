"""Guests that are booted in a lab from templates of the tests' own, and what is then on a node."""

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.support.cli import until, virsh
from tests.lab.support.lab import REPOSITORY, RealLab

if TYPE_CHECKING:
    import subprocess

IMAGES = "/var/lib/libvirt/images"
SHIPPED = REPOSITORY / "templates"
# A guest without a system: it is made at once, and its firmware finds nothing to start.
BUILD = 'qemu-img create -q -f "$format" "$output" "${size:-1M}"'
# The build goes on when something is written to this; it is made when the build has got there.
WAIT = "mkfifo gate; echo waiting; read -r line <gate"
_TEMPLATE = """#!/bin/sh
set -eu
case $1 in
    probe) echo hello ;;
    base-image) echo nothing ;;
    minimum-memory) echo 16M ;;
    recommended-memory) echo 32M ;;
    build)
{build}
    ;;
{answers}
    *) exit 2 ;;
esac
"""
# What boots and guests leave traces in. Directories that libvirt makes for a guest and keeps are none of them.
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
    """Write a template whose build and further answers (`disk_bus` for `disk-bus`) are shell."""
    known = "".join(f"    {parameter.replace('_', '-')})\n{shell}\n    ;;\n" for parameter, shell in answers.items())
    path = directory / f"{name}.template"
    path.write_text(_TEMPLATE.format(build=build, answers=known))
    path.chmod(0o755)


def traces(lab: RealLab, node: str) -> str:
    """Return the guests of a node, its files where boots and guests leave theirs, and its processes."""
    return sh(lab, node, _TRACES + "true")


def sh(lab: RealLab, node: str, script: str) -> str:
    """Run a script on a node, and return what it prints."""
    done = lab.run("sh", "-c", script, node=node)
    assert done.returncode == 0, done.stderr
    return done.stdout


def images(lab: RealLab, node: str) -> list[str]:
    """Return what is in a node's directory of images."""
    return sorted(sh(lab, node, f"ls -A {IMAGES}").split())


def clean(lab: RealLab, *nodes: str) -> None:
    """Remove all guests and files from nodes that are on."""
    for node in nodes:
        lab.run("sh", "-c", _CLEAN, node=node)


def make_ready(lab: RealLab) -> None:
    """Have ham0 and ham1 on and empty, and the others off."""
    if lab.states() != {"ham0": "on", "ham1": "on", "ham2": "off", "ham3": "off"}:
        lab.power(on=["ham0", "ham1"])
    clean(lab, "ham0", "ham1")


def states(lab: RealLab, node: str) -> dict[str, str]:
    """Return virsh's word for the state of each guest of a node."""
    lines = [line.split(maxsplit=2) for line in virsh(lab, node, "list", "--all").splitlines() if line]
    return {name: state for _, name, state in lines}


def wait_for_gate(lab: RealLab, node: str) -> str:
    """Return the gate of the build on a node, when the build waits there."""
    until(lambda: sh(lab, node, "find /tmp -name gate"))
    return sh(lab, node, "find /tmp -name gate").strip()


def open_gate(lab: RealLab, node: str) -> None:
    """Let the build on a node go on."""
    sh(lab, node, f"echo >{wait_for_gate(lab, node)}")


def send(command: "subprocess.Popen[str]", name: str) -> None:
    """Send a signal to a command that was started in a group of its own."""
    os.killpg(command.pid, getattr(signal, f"SIG{name}"))


def uuid(lab: RealLab, node: str, guest: str) -> str:
    """Return a guest's UUID."""
    found = re.search(r"\S+", virsh(lab, node, "domuuid", guest))
    assert found
    return found[0]
