"""destroy on real nodes: what snapshots and moves have made of a guest's disks."""

from tests.lab.destroy.fixtures import A_DISK, DISK, define, destroyed, lab, templates, web
from tests.lab.support.cli import mclu, virsh
from tests.lab.support.guests import (
    IMAGES,
    images,
    sh,
    states,
)
from tests.lab.support.lab import RealLab

__all__ = ["lab", "templates", "web"]


def snapshot(lab: RealLab, guest: str, *more: str) -> None:
    virsh(lab, "ham0", "snapshot-create-as", guest, "one", *more)


def test_a_disk_that_was_moved_stays_with_its_overlay(web: RealLab) -> None:
    """Without the name that the overlay has for it, the overlay would be lost."""
    sh(web, "ham0", f"virsh -q destroy web; mv {DISK} /tmp/moved; ln -s /tmp/moved {DISK}; virsh -q start web")
    snapshot(web, "web", "--disk-only", "--diskspec", f"vda,file={IMAGES}/web.one")
    assert destroyed(mclu(web, "destroy", "web")) == {
        f"{IMAGES}/web.one": "not made by mclu",
        "/tmp/moved": "not made by mclu",
        DISK: f"a backing file of {IMAGES}/web.one",
    }
    assert images(web, "ham0") == ["web.one", "web.qcow2"]


def test_a_file_that_a_snapshot_was_told_to_use_stays(web: RealLab) -> None:
    """Also what libvirt has it built on: the file itself does not say so."""
    sh(web, "ham0", "qemu-img create -q -f qcow2 /tmp/mine.qcow2 1M")
    snapshot(web, "web", "--disk-only", "--diskspec", "vda,file=/tmp/mine.qcow2", "--reuse-external")
    kept = destroyed(mclu(web, "destroy", "web"))
    assert kept == {"/tmp/mine.qcow2": "not made by mclu", DISK: "a backing file of /tmp/mine.qcow2"}
    sh(web, "ham0", f"[ -e /tmp/mine.qcow2 ] && [ -e {DISK} ]")


def test_a_users_own_file_stays_also_if_it_is_built_on_the_disk(web: RealLab) -> None:
    sh(web, "ham0", f"qemu-img create -q -f qcow2 -F qcow2 -b {DISK} /tmp/mine.qcow2")
    snapshot(web, "web", "--disk-only", "--diskspec", "vda,file=/tmp/mine.qcow2", "--reuse-external")
    kept = destroyed(mclu(web, "destroy", "web"))
    assert kept == {"/tmp/mine.qcow2": "not made by mclu", DISK: "a backing file of /tmp/mine.qcow2"}
    sh(web, "ham0", f"[ -e /tmp/mine.qcow2 ] && [ -e {DISK} ]")


def test_an_overlay_goes_but_not_what_somebody_has_put_below_it(web: RealLab) -> None:
    hand = f"{IMAGES}/by-hand.qcow2"
    make = f"virsh destroy web; qemu-img create -q -f qcow2 -F qcow2 -b {DISK} {hand}"
    change = f"virsh dumpxml --inactive web | sed \"s|'{DISK}'|'{hand}'|\" >/tmp/w"
    sh(web, "ham0", f"{make}; {change}; virsh define /tmp/w; virsh start web")
    snapshot(web, "web", "--disk-only", "--diskspec", f"vda,file={IMAGES}/web.one")
    assert destroyed(mclu(web, "destroy", "web")) == {hand: "not made by mclu", DISK: f"a backing file of {hand}"}
    assert images(web, "ham0") == ["by-hand.qcow2", "web.qcow2"]


def test_an_overlay_that_another_guest_uses_stays(web: RealLab) -> None:
    snapshot(web, "web", "--disk-only", "--diskspec", f"vda,file={IMAGES}/web.one")
    virsh(web, "ham0", "destroy", "web")
    define(web, A_DISK.format(kind="qcow2", file=f"{IMAGES}/web.one"))
    assert destroyed(mclu(web, "destroy", "web")) == {f"{IMAGES}/web.one": "db uses it", DISK: "db uses it"}
    assert images(web, "ham0") == ["web.one", "web.qcow2"]


def test_a_guest_that_mclu_did_not_make_keeps_its_snapshots(lab: RealLab) -> None:
    disk, overlay, memory = (f"{IMAGES}/db.{kind}" for kind in ("qcow2", "one", "memory"))
    define(lab, A_DISK.format(kind="qcow2", file=disk), before=f"qemu-img create -q -f qcow2 {disk} 1M")
    virsh(lab, "ham0", "start", "db")
    snapshot(lab, "db", "--memspec", f"file={memory}", "--diskspec", f"vda,file={overlay}")
    kept = destroyed(mclu(lab, "destroy", "db"), "ham0:db")
    assert kept == dict.fromkeys((disk, overlay, memory), "not made by mclu")
    assert (states(lab, "ham0"), images(lab, "ham0")) == ({}, ["db.memory", "db.one", "db.qcow2"])
