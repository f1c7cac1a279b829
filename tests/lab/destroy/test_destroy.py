"""destroy on real nodes: all that is the guest's goes, and where that cannot be told or fails."""

import re

import pytest

from tests.lab.destroy.fixtures import (
    A_DISK,
    BELONGINGS,
    DEFINE,
    DISK,
    SEED,
    boot,
    define,
    destroyed,
    lab,
    start_twin,
    templates,
    web,
)
from tests.lab.support.cli import describe_guest, mclu, python, run_guest, virsh
from tests.lab.support.guests import (
    IMAGES,
    images,
    sh,
    states,
    traces,
    uuid,
)
from tests.lab.support.lab import RealLab

__all__ = ["lab", "templates", "web"]


def test_nothing_of_it_is_left(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    boot(lab)
    assert images(lab, "ham0") == ["web.qcow2", "web.qcow2.kernel", "web.qcow2.seed"]
    assert destroyed(mclu(lab, "destroy", "web")) == {}
    assert traces(lab, "ham0") == before
    boot(lab)


@pytest.mark.parametrize("what", BELONGINGS)
def test_what_else_is_its_own_goes_with_it(lab: RealLab, what: str) -> None:
    look = "virsh -q list --all; find /var/lib/libvirt /etc/libvirt ! -type d"
    before = sh(lab, "ham0", look)
    boot(lab)
    sh(lab, "ham0", f"set -e; {BELONGINGS[what]}")
    assert destroyed(mclu(lab, "destroy", "web")) == {}
    assert sh(lab, "ham0", look) == before


def test_whatever_state_it_is_in(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    boot(lab)
    virsh(lab, "ham0", "destroy", "web")
    # It runs, and its definition has been taken away: it goes by being stopped.
    boot(lab, "ham0:db")
    virsh(lab, "ham0", "undefine", "db")
    told = mclu(lab, "destroy", "web", "db")
    assert (told.status, sorted(told.lines)) == (0, ["ham0:db destroyed", "ham0:web destroyed"]), told
    assert traces(lab, "ham0") == before


def test_many_at_once(lab: RealLab) -> None:
    boot(lab)
    boot(lab, "ham1:db")
    virsh(lab, "ham1", "define", describe_guest(lab, "ham1", "web"))
    run_guest(lab, "ham1", "other")
    refused = mclu(lab, "destroy", "web")
    assert (refused.status, refused.out) == (1, "")
    assert "web is on ham0 and ham1" in refused.err
    refused = mclu(lab, "destroy", "*:web")
    assert (refused.status, refused.out) == (1, "")
    assert "--yes" in refused.err
    assert (states(lab, "ham0"), images(lab, "ham1")[0]) == ({"web": "running"}, "db.qcow2")
    told = mclu(lab, "destroy", "--yes", "*:web", "d*")
    assert (told.status, sorted(told.lines)) == (0, ["ham0:web destroyed", "ham1:db destroyed", "ham1:web destroyed"])
    assert (states(lab, "ham0"), states(lab, "ham1")) == ({}, {"other": "running"})
    assert images(lab, "ham0") == images(lab, "ham1") == []


# Where it cannot be told, and where it fails


def test_other_guests_troubles_are_their_own(web: RealLab) -> None:
    # A base that is gone, a drive that is empty, a disk that is not there.
    make = "cd /tmp; qemu-img create -q -f raw gone 1M; qemu-img create -q -f qcow2 -F raw -b gone lost.qcow2; rm gone"
    disks = ["/tmp/lost.qcow2", "/tmp/nowhere.img", "/dev/loop-none"]
    devices = "".join(
        A_DISK.format(kind="raw", file=file).replace("vda", f"vd{i}") for i, file in zip("abc", disks, strict=True)
    )
    define(web, devices, before=make)
    assert destroyed(mclu(web, "destroy", "web")) == {}
    assert images(web, "ham0") == []


def test_what_cannot_be_read_stops_it_before_anything_is_done(web: RealLab) -> None:
    define(web, A_DISK.format(kind="qcow2", file="/tmp/bad.qcow2"), before="printf 'QFI\\373rubbish' >/tmp/bad.qcow2")
    before = traces(web, "ham0")
    told = mclu(web, "destroy", "web")
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("mclu: ham0: cannot determine backing files, nothing was deleted: ")
    assert "bad.qcow2" in told.err
    assert traces(web, "ham0") == before


def test_what_cannot_be_deleted_is_told_and_can_be_tried_again(web: RealLab) -> None:
    sh(web, "ham0", f"mount --bind {IMAGES} {IMAGES} && mount -o remount,bind,ro {IMAGES}")
    told = mclu(web, "destroy", "web")
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("mclu: ham0: cannot delete all files of web, which is now stopped: rm: ")
    assert states(web, "ham0") == {"web": "shut off"}
    sh(web, "ham0", f"umount {IMAGES}")
    assert destroyed(mclu(web, "destroy", "web")) == {}
    assert (states(web, "ham0"), images(web, "ham0")) == ({}, [])


ASKED = """
import os, subprocess, sys
from pathlib import Path
from mclu_shell.cloud.open import open_cloud
from mclu_shell.command_loader import load_command
from mclu_shell.command import Context
from mclu_shell.config import load_config
cloud = open_cloud(load_config(Path(os.environ["MCLU_CONFIG"])))
def confirm(question):
    print(question)
    subprocess.run(["ssh", *sys.argv[1:]], check=True)
    return True
command = load_command("destroy")
for result in command.run(Context(lambda: cloud, print, confirm), command.parser().parse(["web"])):
    print(result)
"""


def test_a_guest_that_is_migrated_while_it_is_asked(web: RealLab) -> None:
    said = python(web, ASKED, "ham1", start_twin(uuid(web, "ham0", "web")))
    assert f"deleted: {DISK}" in said
    assert f"kept: {DISK} (ham1:web has the same UUID)" in said
    assert (states(web, "ham0"), len(images(web, "ham0"))) == ({}, 3)


def test_a_snapshot_that_is_made_while_it_is_asked(web: RealLab) -> None:
    """Nobody was asked about its file, so that stays, and with it the disk that it is built on."""
    overlay = f"{IMAGES}/web.one"
    said = python(web, ASKED, "ham0", f"virsh -q snapshot-create-as web one --disk-only --diskspec vda,file={overlay}")
    assert f"deleted: {DISK}" in said
    assert f"kept: {overlay} (made after the confirmation)" in said
    assert f"kept: {DISK} (a backing file of {overlay})" in said
    assert images(web, "ham0") == ["web.one", "web.qcow2"]


def test_what_others_do_while_it_is_asked(web: RealLab) -> None:
    """A file that another guest has come to use is not deleted, nor is a guest that has taken the name."""
    use = DEFINE.format(devices=A_DISK.format(kind="raw", file=SEED), os="")
    said = python(web, ASKED, "ham0", use)
    assert re.match(r"web on ham0 \(running\), [\d.]+K on disk\n(  deleted: \S+\n){3}Destroy it\?\n", said), said
    assert f"kept: {SEED} (db uses it)" in said
    assert images(web, "ham0") == ["web.qcow2.seed"]
    sh(web, "ham0", f"rm {SEED}")
    boot(web)
    taken = f"virsh -q destroy web; virsh -q undefine web; virsh -q define {describe_guest(web, 'ham0', 'web')}"
    assert "web no longer exists" in python(web, ASKED, "ham0", taken)
    assert states(web, "ham0") == {"db": "shut off", "web": "shut off"}
    assert len(images(web, "ham0")) == 3


def test_no_such_guest(web: RealLab) -> None:
    told, complaint = mclu(web, "destroy", "wbe"), "mclu: no such guest 'wbe'"
    assert (told.status, told.out, told.err) == (1, "", f"{complaint} (ham2, ham3 are off); did you mean 'web'?\n")
    told = mclu(web, "destroy", "ham1:web", "ham0:web")
    assert (told.status, told.out, told.err) == (1, "", "mclu: ham1: no such guest 'web'\n")
    assert states(web, "ham0") == {"web": "running"}
