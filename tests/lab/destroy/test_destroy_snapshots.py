"""destroy on real nodes: overlays of snapshots, and moved disks."""

import pytest

from tests.lab.support.cli import mclu, virsh
from tests.lab.support.destroy import A_DISK, DISK, define_db, kept_files
from tests.lab.support.guests import IMAGES, images, sh, states
from tests.lab.support.lab import RealLab

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("templates")]


def snapshot(lab: RealLab, guest: str, *more: str) -> None:
    virsh(lab, "ham0", "snapshot-create-as", guest, "one", *more)


def test_a_moved_disk_stays_with_its_overlay(web: RealLab) -> None:
    """The overlay names the disk by its old path; without that link it would be unreadable."""
    sh(web, "ham0", f"virsh -q destroy web; mv {DISK} /tmp/moved; ln -s /tmp/moved {DISK}; virsh -q start web")
    snapshot(web, "web", "--disk-only", "--diskspec", f"vda,file={IMAGES}/web.one")
    assert kept_files(mclu(web, "destroy", "web")) == {
        f"{IMAGES}/web.one": "not made by mclu",
        "/tmp/moved": "not made by mclu",
        DISK: f"a backing file of {IMAGES}/web.one",
    }
    assert images(web, "ham0") == ["web.one", "web.qcow2"]


def test_an_existing_file_reused_by_a_snapshot_stays(web: RealLab) -> None:
    """Its backing file stays, too, which only libvirt knows: the file itself does not name one."""
    sh(web, "ham0", "qemu-img create -q -f qcow2 /tmp/mine.qcow2 1M")
    snapshot(web, "web", "--disk-only", "--diskspec", "vda,file=/tmp/mine.qcow2", "--reuse-external")
    kept = kept_files(mclu(web, "destroy", "web"))
    assert kept == {"/tmp/mine.qcow2": "not made by mclu", DISK: "a backing file of /tmp/mine.qcow2"}
    sh(web, "ham0", f"[ -e /tmp/mine.qcow2 ] && [ -e {DISK} ]")


def test_a_user_file_reused_by_a_snapshot_stays_with_its_backing_disk(web: RealLab) -> None:
    sh(web, "ham0", f"qemu-img create -q -f qcow2 -F qcow2 -b {DISK} /tmp/mine.qcow2")
    snapshot(web, "web", "--disk-only", "--diskspec", "vda,file=/tmp/mine.qcow2", "--reuse-external")
    kept = kept_files(mclu(web, "destroy", "web"))
    assert kept == {"/tmp/mine.qcow2": "not made by mclu", DISK: "a backing file of /tmp/mine.qcow2"}
    sh(web, "ham0", f"[ -e /tmp/mine.qcow2 ] && [ -e {DISK} ]")


def test_destroy_removes_an_overlay_but_keeps_a_user_file_below_it(web: RealLab) -> None:
    hand = f"{IMAGES}/by-hand.qcow2"
    make = f"virsh destroy web; qemu-img create -q -f qcow2 -F qcow2 -b {DISK} {hand}"
    change = f"virsh dumpxml --inactive web | sed \"s|'{DISK}'|'{hand}'|\" >/tmp/w"
    sh(web, "ham0", f"{make}; {change}; virsh define /tmp/w; virsh start web")
    snapshot(web, "web", "--disk-only", "--diskspec", f"vda,file={IMAGES}/web.one")
    assert kept_files(mclu(web, "destroy", "web")) == {hand: "not made by mclu", DISK: f"a backing file of {hand}"}
    assert images(web, "ham0") == ["by-hand.qcow2", "web.qcow2"]


def test_an_overlay_that_another_guest_uses_stays(web: RealLab) -> None:
    snapshot(web, "web", "--disk-only", "--diskspec", f"vda,file={IMAGES}/web.one")
    virsh(web, "ham0", "destroy", "web")
    define_db(web, A_DISK.format(kind="qcow2", file=f"{IMAGES}/web.one"))
    assert kept_files(mclu(web, "destroy", "web")) == {f"{IMAGES}/web.one": "db uses it", DISK: "db uses it"}
    assert images(web, "ham0") == ["web.one", "web.qcow2"]


def test_a_guest_that_mclu_did_not_make_keeps_its_snapshots(lab: RealLab) -> None:
    disk, overlay, memory = (f"{IMAGES}/db.{kind}" for kind in ("qcow2", "one", "memory"))
    define_db(lab, A_DISK.format(kind="qcow2", file=disk), before=f"qemu-img create -q -f qcow2 {disk} 1M")
    virsh(lab, "ham0", "start", "db")
    snapshot(lab, "db", "--memspec", f"file={memory}", "--diskspec", f"vda,file={overlay}")
    kept = kept_files(mclu(lab, "destroy", "db"), "ham0:db")
    assert kept == dict.fromkeys((disk, overlay, memory), "not made by mclu")
    assert (states(lab, "ham0"), images(lab, "ham0")) == ({}, ["db.memory", "db.one", "db.qcow2"])
