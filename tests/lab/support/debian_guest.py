"""A Debian guest that mclu made from the template debian-cloud, on ham0."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab.support.cli import LIMIT_S, Result, background, mclu, virsh
from tests.lab.support.debian_image import require_debian_image
from tests.lab.support.guests import IMAGES, sh, states
from tests.lab.support.lab import Completed, RealLab, skip
from tests.lab.support.network import ADDRESS, define_network, has_networks

NODE = "ham0"
# YAML reads it as a number.
NAME = "123"
# An emulated guest on a busy machine.
BOOT_TIMEOUT_S = 180.0
# The first line on its console.
BOOT_MESSAGE = "Linux version "
_OPERATOR, _PORT = "10.73.0.1", "8000"
_LOG = f"/var/log/libvirt/qemu/{NAME}.serial"
# The superblock of the file system in KiB, and in it the flags of which RECOVER is one (ext4, disk layout).
_SUPERBLOCK, _INCOMPAT, _RECOVER = 1024 + 1, 0x60, 0x4
_SSH = (
    *("ssh", "-J", NODE, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    # A guest that has crashed does not close connections.
    *("-o", "LogLevel=ERROR", "-o", "ServerAliveInterval=2", "-o", "ServerAliveCountMax=5"),
)


@dataclass(frozen=True)
class DebianGuest:
    """The Debian guest of a lab."""

    lab: RealLab

    def ssh(self, command: str, user: str = "root") -> Completed:
        """Run a shell command in the guest, as the operator who logs in through the node."""
        return self.lab.run(*_SSH, f"{user}@{ADDRESS}", command)

    def run(self, command: str, user: str = "root") -> str:
        """Run a shell command in the guest that must succeed, and return its output."""
        completed = self.ssh(command, user)
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    def mclu(self, command: str, *words: str) -> Result:
        """Run an mclu command with the guest's name as its first argument."""
        return mclu(self.lab, *command.split(), NAME, *words)

    def wait(self, *condition: str, timeout_s: float = BOOT_TIMEOUT_S) -> Result:
        """Run `wait guest`."""
        words = ("wait", "--timeout", f"{timeout_s:g}", "guest", NAME, *condition)
        return mclu(self.lab, *words, timeout=timeout_s + LIMIT_S)

    def listed(self, which: str = "--active") -> list[str]:
        """Return the columns of the guest's line in `list`, after its name."""
        result = mclu(self.lab, "list", which)
        assert (result.status, result.err) == (0, ""), result
        (line,) = result.lines
        name, *columns = re.split("  +", line)
        assert name == f"{NODE}:{NAME}"
        return columns

    def addresses(self) -> list[str]:
        """Return the guest's addresses in `list`."""
        return " ".join(self.listed()[3:]).split()

    def virsh(self, verb: str, *words: str) -> str:
        """Run a virsh command for the guest on its node."""
        return virsh(self.lab, NODE, verb, NAME, *words)

    def state(self) -> str:
        """Return the guest's state, as virsh prints it."""
        return states(self.lab, NODE)[NAME]

    def console(self) -> str:
        """Return what the guest has printed on its console since its start."""
        return sh(self.lab, NODE, f"cat {_LOG}")

    def count_boots(self) -> int:
        """Count the boots of the guest's kernel on its console since its start."""
        return self.console().count(BOOT_MESSAGE)

    def is_cleanly_unmounted(self) -> bool:
        """Return whether the guest's file system needs no recovery of its journal, once the guest is off."""
        superblock = f"skip={_SUPERBLOCK} count={_SUPERBLOCK + 1} if={IMAGES}/{NAME}.qcow2 of=/tmp/superblock"
        sh(self.lab, NODE, f"qemu-img dd -f qcow2 -O raw bs=1024 {superblock}")
        return not int(sh(self.lab, NODE, f"od -A n -t u4 -j {_INCOMPAT} -N 4 /tmp/superblock")) & _RECOVER

    def hang_agent(self) -> None:
        """Stop the guest agent with SIGSTOP; its channel stays open."""
        self.run("pkill -STOP -x qemu-ga")

    def make_reachable(self) -> None:
        """Switch on the node, start the guest, and wait for its sshd, as far as needed."""
        self.lab.power([NODE])
        state = self.state()
        if state == "paused":
            self.virsh("resume")
        elif state != "running":
            self.virsh("start")
        waited = self.wait("ssh")
        assert waited.status == 0, waited


@contextmanager
def mirror(lab: RealLab) -> Iterator[str]:
    """Provide the URL of a mirror on the LAN with the image of Debian."""
    words = ("-u", "-m", "http.server", "--bind", _OPERATOR, "--directory", str(require_debian_image()), _PORT)
    with background(lab, *words, program=sys.executable) as server:
        assert server.stdout
        assert server.stdout.readline().startswith("Serving")
        yield f"http://{_OPERATOR}:{_PORT}"


def boot_debian(lab: RealLab, *options: str) -> DebianGuest:
    """Boot the guest on a network of libvirt; return when mclu returns."""
    if not has_networks(lab, NODE):
        skip("nodes cannot run networks of libvirt: dnsmasq or libvirt's network driver is missing")
    define_network(lab, NODE)
    with mirror(lab) as url:
        words = ("mclu", "boot", "debian-cloud", f"{NODE}:{NAME}", "--memory", "512M", "--vcpus", "1", *options)
        booted = lab.run("env", "-u", "MCLU_PATH", f"MCLU_MIRROR={url}", *words)
    assert (booted.returncode, booted.stdout) == (0, f"{NODE}:{NAME} running\n"), booted.stderr
    return DebianGuest(lab)
