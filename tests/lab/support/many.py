"""Several guests with disks that mclu could have made, and commands that a signal ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.lab.support.cli import LIMIT_S, background
from tests.lab.support.guests import IMAGES, images, sh, states
from tests.lab.support.lab import RealLab

if TYPE_CHECKING:
    import subprocess

NAMES = tuple(f"hd{number}" for number in range(6))
_GUEST = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<metadata><m:guest xmlns:m="urn:mclu:1" uuid="{uuid}"><m:file>{disk}</m:file></m:guest></metadata>
<memory unit='MiB'>16</memory><os><type arch='x86_64'>hvm</type></os><devices>
<disk type='file'><driver type='qcow2'/><source file='{disk}'/><target dev='vda'/></disk></devices></domain>"""
# Makes rm(1) on a node wait at a gate, which is a file.
_GATE = """
cp /usr/bin/rm /tmp/real-rm
cat >/tmp/rm <<'END'
#!/bin/sh
: >"/tmp/deleting.$$"
until [ -e /tmp/gate ]; do sleep 0.05; done
exec /tmp/real-rm "$@"
END
chmod 755 /tmp/rm
mount --bind /tmp/rm /usr/bin/rm
"""


def define_many(lab: RealLab, node: str, *, is_started: bool = False) -> None:
    """Define the guests of NAMES, each with a disk."""
    lines = []
    for name in NAMES:
        disk = f"{IMAGES}/{name}.qcow2"
        xml = _GUEST.format(name=name, uuid=uuid4(), disk=disk)
        lines += [f"qemu-img create -q -f qcow2 {disk} 1M", f"cat >/tmp/{name}.xml <<'END'\n{xml}\nEND"]
        lines.append(f"virsh -q define /tmp/{name}.xml")
        lines += [f"virsh -q start {name}"] if is_started else []
    sh(lab, node, "\n".join(lines))


def remaining(lab: RealLab, node: str) -> list[str]:
    """Return the guests of a node that are left; assert that these and no others have their disks."""
    guests = sorted(states(lab, node))
    assert images(lab, node) == [f"{name}.qcow2" for name in guests]
    return guests


@contextmanager
def deletion_gate(lab: RealLab, node: str) -> Iterator[None]:
    """Let every deletion of files on a node wait for `open_deletion_gate`."""
    sh(lab, node, _GATE)
    try:
        yield
    finally:
        sh(lab, node, "touch /tmp/gate; umount /usr/bin/rm")


def open_deletion_gate(lab: RealLab, node: str) -> None:
    """Let the deletions on a node proceed."""
    sh(lab, node, "touch /tmp/gate")


def deletions(lab: RealLab, node: str) -> int:
    """Count the deletions that have reached the gate."""
    return len(sh(lab, node, "find /tmp -name 'deleting.*'").split())


@contextmanager
def signalled(lab: RealLab, *words: str) -> Iterator["Signalled"]:
    """Run mclu in the background; signals are sent to it alone."""
    # A shell runs it, because the process that enters the lab would end its command with itself.
    script = 'trap : INT HUP TERM; env --default-signal mclu "$@" & echo $!; wait $!; wait $!; echo $?'
    with background(lab, "sh", "-c", script, "sh", *words, program=None) as command:
        yield Signalled(lab, command)


class Signalled:
    """A running mclu."""

    def __init__(self, lab: RealLab, command: "subprocess.Popen[str]") -> None:
        assert command.stdout is not None
        self._lab, self._command = lab, command
        self._pid = command.stdout.readline().strip()

    def signal(self, name: str) -> None:
        """Send a signal."""
        assert self._lab.run("kill", f"-{name}", self._pid).returncode == 0

    def end(self) -> tuple[int, list[str], list[str]]:
        """Return the exit status, and the lines of output and errors."""
        out, err = self._command.communicate(timeout=2 * LIMIT_S)
        *lines, status = out.splitlines()
        return int(status), lines, err.splitlines()
