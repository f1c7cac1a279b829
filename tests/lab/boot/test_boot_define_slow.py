"""boot when libvirt takes longer to define a guest than mclu waits for its answer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.support.cli import background, mclu, wait_until
from tests.lab.support.guests import BUILD, images, sh, states, template
from tests.lab.support.lab import RealLab

# libvirt examines an emulator again when its file has changed, and a guest's definition waits for that.
_EMULATOR = """#!/bin/sh
case "$*" in *"-machine none"*) touch /root/examined; read -r line </root/gate ;; esac
exec /usr/bin/qemu-system-i386 "$@"
"""
_INSTALL = """
mount --bind "$(readlink -f /usr/bin/qemu-system-x86_64)" /usr/bin/qemu-system-i386
mount --bind /root/emulator /usr/bin/qemu-system-x86_64"""
_SLOW = f"{BUILD}\n{_INSTALL}"


@pytest.fixture
def gate(lab: RealLab, templates: Path) -> Iterator[None]:
    """A template `slow`, after whose build libvirt examines its emulator until `open_gate`."""
    template(templates, "slow", build=_SLOW)
    sh(lab, "ham0", "rm -f /root/examined /root/gate; mkfifo /root/gate")
    lab.run("sh", "-c", "cat >/root/emulator; chmod 755 /root/emulator", node="ham0", input=_EMULATOR)
    yield
    # A power cut removes the stand-in.
    lab.off("ham0")


def open_gate(lab: RealLab) -> None:
    """Let libvirt's examination of its emulator continue, and all later ones."""
    sh(lab, "ham0", "rm -f /root/gate.open; (while echo >/root/gate; do :; done) >/dev/null 2>&1 &")


def wait_for_examination(lab: RealLab) -> None:
    wait_until(lambda: "yes" in sh(lab, "ham0", "[ ! -e /root/examined ] || echo yes"), 30)


@pytest.mark.usefixtures("gate")
def test_boot_continues_if_the_guest_is_defined_after_the_timeout(lab: RealLab) -> None:
    with background(lab, "-v", "boot", "slow", "web") as command:
        wait_for_examination(lab)
        assert command.stderr is not None
        # mclu asks for the guest when its own timeout for the definition has passed.
        for line in command.stderr:
            if "lookupByUUID" in line:
                break
        open_gate(lab)
        out, _ = command.communicate(timeout=60)
    assert (command.returncode, out.splitlines()[0].split()[:2]) == (0, ["ham0:web", "running"])
    assert states(lab, "ham0") == {"web": "running"}
    assert images(lab, "ham0") == ["web.qcow2"]
    assert mclu(lab, "destroy", "web").status == 0


@pytest.mark.usefixtures("gate")
def test_a_killed_boot_leaves_no_guest_that_is_defined_later(lab: RealLab) -> None:
    with background(lab, "boot", "slow", "web") as command:
        wait_for_examination(lab)
        command.kill()
    lab.run("pkill", "-KILL", "-f", "[b]oot slow web")
    # The disk must not be deleted before libvirt has the guest.
    assert images(lab, "ham0") == [".mclu-web.building", "web.qcow2"]
    open_gate(lab)
    wait_until(lambda: images(lab, "ham0") == [], 30)
    assert states(lab, "ham0") == {}
