"""destroy on real nodes: what is not the guest's own, or is not its own alone, stays and is named."""

from pathlib import Path

import pytest

from tests.lab.destroy.fixtures import (
    A_CD,
    A_DISK,
    BELONGINGS,
    DEFINE,
    DISK,
    KERNEL,
    SEED,
    boot,
    define,
    destroyed,
    lab,
    start_twin,
    templates,
    web,
)
from tests.lab.support.cli import mclu, run_guest, virsh
from tests.lab.support.guests import (
    IMAGES,
    images,
    sh,
    states,
    template,
    traces,
    uuid,
)
from tests.lab.support.lab import RealLab

__all__ = ["lab", "templates", "web"]


def test_what_mclu_did_not_make_stays_and_is_named(web: RealLab) -> None:
    sh(web, "ham0", "for i in a b c; do qemu-img create -q -f raw /tmp/$i.img 1M; done")
    for disk, target, how in (("a", "sdb", "--config"), ("b", "sdc", "--live"), ("c", "sdd", "--persistent")):
        virsh(web, "ham0", "attach-disk", "web", f"/tmp/{disk}.img", target, how, "--targetbus", "usb")
    kept = destroyed(mclu(web, "destroy", "web"))
    assert kept == {f"/tmp/{disk}.img": "not made by mclu" for disk in "abc"}
    assert sh(web, "ham0", "ls /tmp").split() == ["a.img", "b.img", "c.img"]
    assert images(web, "ham0") == []


def test_the_file_behind_a_disk_stays_and_is_named(lab: RealLab, templates: Path) -> None:
    overlay = 'qemu-img create -q -f "$format" -F qcow2 -b /tmp/base.qcow2 "$output"'
    template(templates, "overlay", build=overlay)
    # A base that is itself built on another, which is named as seen from where it lies.
    make = "cd /tmp; qemu-img create -q -f raw root.img 1M; qemu-img create -q -f qcow2 -F raw -b root.img base.qcow2"
    sh(lab, "ham0", make)
    boot(lab, template="overlay")
    assert destroyed(mclu(lab, "destroy", "web")) == {
        "/tmp/base.qcow2": "a backing file",
        "/tmp/root.img": "a backing file",
    }
    assert sh(lab, "ham0", "ls /tmp").split() == ["base.qcow2", "root.img"]


# How another guest may need a file of web's: which file, and the parts of its definition.
USES: dict[str, tuple[str, dict[str, str]]] = {
    "as its disk": (DISK, {"devices": A_DISK.format(kind="qcow2", file=DISK)}),
    "by another name": (
        DISK,
        {
            "devices": A_DISK.format(kind="qcow2", file="/tmp/link"),
            "before": f"ln -s {IMAGES} /tmp/dir; ln -s dir/web.qcow2 /tmp/link",
        },
    ),
    "behind its disk": (
        DISK,
        {
            "devices": A_DISK.format(kind="qcow2", file="/tmp/two.qcow2"),
            "before": f"cd /tmp; qemu-img create -q -f qcow2 -F qcow2 -b ../{DISK} one.qcow2;"
            "qemu-img create -q -f qcow2 -F qcow2 -b one.qcow2 two.qcow2",
        },
    ),
    "as a volume": (
        DISK,
        {
            "devices": "<disk type='volume'><source pool='disks' volume='web.qcow2'/><target dev='vda'/></disk>",
            "before": f"virsh -q pool-define-as disks dir --target {IMAGES}",
        },
    ),
    "as its kernel": (KERNEL, {"os": f"<kernel>{KERNEL}</kernel>"}),
    "as its CD": (SEED, {"devices": A_CD.format(file=SEED)}),
}


@pytest.mark.parametrize("how", USES)
def test_what_another_guest_uses_stays_and_is_named(web: RealLab, how: str) -> None:
    file, definition = USES[how]
    # Nothing must be written to it meanwhile.
    virsh(web, "ham0", "destroy", "web")
    define(web, **definition)
    before = sh(web, "ham0", f"sha256sum {file}")
    assert destroyed(mclu(web, "destroy", "web")) == {file: "db uses it"}
    assert sh(web, "ham0", f"sha256sum {file}") == before
    assert images(web, "ham0") == [file.rpartition("/")[2]]
    assert states(web, "ham0") == {"db": "shut off"}


def test_what_another_guest_uses_only_now_or_used_in_a_snapshot(web: RealLab) -> None:
    virsh(web, "ham0", "destroy", "web")
    run_guest(web, "ham0", "now")
    virsh(web, "ham0", "attach-disk", "now", SEED, "sdb", "--live", "--targetbus", "usb")
    define(web, A_DISK.format(kind="qcow2", file=DISK))
    sh(web, "ham0", "virsh -q snapshot-create-as db one && virsh -q detach-disk db vda --config")
    assert destroyed(mclu(web, "destroy", "web")) == {DISK: "db uses it", SEED: "now uses it"}
    assert images(web, "ham0") == ["web.qcow2", "web.qcow2.seed"]


@pytest.mark.parametrize("first", ["web", "copy"])
def test_a_copy_of_a_guest_and_its_original_leave_each_other_alone(web: RealLab, first: str) -> None:
    virsh(web, "ham0", "destroy", "web")
    change = f"/<uuid>/d; s|<name>web|<name>copy|; s|{DISK}'|{IMAGES}/copy.img'|; /seed/d"
    make = f'cp {DISK} {IMAGES}/copy.img; virsh dumpxml --inactive web | sed "{change}" >/tmp/copy.xml'
    sh(web, "ham0", f"{make}; virsh -q define /tmp/copy.xml")
    both = {"copy.img", "web.qcow2", "web.qcow2.kernel", "web.qcow2.seed"}
    if first == "copy":
        assert destroyed(mclu(web, "destroy", "copy"), "ham0:copy") == {f"{IMAGES}/copy.img": "not made by mclu"}
        assert set(images(web, "ham0")) == both
        assert destroyed(mclu(web, "destroy", "web")) == {}
    else:
        # The disk of a guest that was forgotten, but not destroyed, is not for its copy to take along.
        virsh(web, "ham0", "undefine", "web")
        assert destroyed(mclu(web, "destroy", "copy"), "ham0:copy") == {f"{IMAGES}/copy.img": "not made by mclu"}
        assert set(images(web, "ham0")) == both


def test_a_disk_that_stays_keeps_what_it_is_built_on(web: RealLab) -> None:
    overlay = f"{IMAGES}/by-hand.qcow2"
    virsh(web, "ham0", "destroy", "web")
    make = f"qemu-img create -q -f qcow2 -F qcow2 -b {DISK} {overlay}"
    sh(
        web,
        "ham0",
        f"{make}; virsh dumpxml --inactive web | sed \"s|'{DISK}'|'{overlay}'|\" >/tmp/w; virsh define /tmp/w",
    )
    assert destroyed(mclu(web, "destroy", "web")) == {DISK: f"a backing file of {overlay}", overlay: "not made by mclu"}
    assert images(web, "ham0") == ["by-hand.qcow2", "web.qcow2"]


def test_a_disk_stays_on_which_somebody_has_built_another(web: RealLab) -> None:
    """No guest names it; and beside it lies what is no image, although it begins as one does."""
    child, junk = f"{IMAGES}/child.qcow2", f"{IMAGES}/junk.qcow2"
    sh(web, "ham0", f"qemu-img create -q -f qcow2 -F qcow2 -b {DISK} {child}; printf 'QFI\\373junk, all of it' >{junk}")
    assert destroyed(mclu(web, "destroy", "web")) == {DISK: f"a backing file of {child}"}
    assert images(web, "ham0") == ["child.qcow2", "junk.qcow2", "web.qcow2"]
    sh(web, "ham0", f"qemu-img info --backing-chain {child}")


# What is at the place of one of its files: how it got there, what is kept, and what is there when the guest is gone.
ODD: dict[str, tuple[str, dict[str, str], str]] = {
    "a directory": (f"rm {SEED}; mkdir {SEED}", {SEED: "a directory"}, SEED),
    "a pipe": (f"rm {SEED}; mkfifo {SEED}", {SEED: "not a regular file"}, SEED),
    "a mount": (f"echo >/tmp/x; mount --bind /tmp/x {SEED}", {SEED: "a mount point"}, SEED),
    "a link": (f"mv {SEED} /tmp/seed; ln -s /tmp/seed {SEED}", {"/tmp/seed": "not made by mclu"}, "/tmp/seed"),
    "one of two names": (f"ln {SEED} {IMAGES}/mine", {}, f"{IMAGES}/mine"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_somebody_has_put_in_the_place_of_a_file_stays(web: RealLab, what: str) -> None:
    change, kept, stays = ODD[what]
    sh(web, "ham0", change)
    try:
        assert destroyed(mclu(web, "destroy", "web")) == kept
        assert states(web, "ham0") == {}
        assert images(web, "ham0") == sorted({file[len(IMAGES) + 1 :] for file in (*kept, stays) if IMAGES in file})
        sh(web, "ham0", f"[ -e {stays} ]")
    finally:
        web.run("umount", "-q", SEED, node="ham0")


def test_disks_that_are_no_files_are_named(lab: RealLab) -> None:
    sh(lab, "ham0", "mkdir /tmp/dir")
    devices = [
        "<disk type='network'><source protocol='nbd' name='x'><host name='h'/></source><target dev='vda'/></disk>",
        "<disk type='volume'><source pool='lost' volume='v'/><target dev='vdb'/></disk>",
        "<disk type='dir'><driver type='fat'/><source dir='/tmp/dir'/><target dev='vdc'/><readonly/></disk>",
    ]
    define(lab, "".join(devices))
    kept = destroyed(mclu(lab, "destroy", "db"), "ham0:db")
    assert kept == dict.fromkeys(("nbd:x", "lost/v", "/tmp/dir"), "not made by mclu")


NVRAM = "/var/lib/libvirt/qemu/nvram/web_VARS.fd"


def test_nvram_that_is_not_its_own(web: RealLab) -> None:
    """libvirt would delete it, so nothing is done."""
    sh(web, "ham0", f"set -e; {BELONGINGS['NVRAM']}")
    define(web, os=f"<loader readonly='yes' type='pflash'>/tmp/firmware</loader><nvram>{NVRAM}</nvram>")
    before = traces(web, "ham0")
    told = mclu(web, "destroy", "web")
    assert (told.status, told.out) == (1, "")
    assert told.err == (
        f"mclu: ham0: cannot destroy web: its NVRAM {NVRAM} must be kept (db uses it); "
        "on the node: virsh undefine --keep-nvram --managed-save web\n"
    )
    assert traces(web, "ham0") == before
    virsh(web, "ham0", "undefine", "--keep-nvram", "db")
    assert destroyed(mclu(web, "destroy", "web")) == {}
    sh(web, "ham0", f"[ ! -e {NVRAM} ]")


def test_a_guest_that_is_on_another_node_too_keeps_its_files(web: RealLab) -> None:
    """As after a migration on shared storage: they are the same files there."""
    virsh(web, "ham0", "destroy", "web")
    sh(web, "ham1", start_twin(uuid(web, "ham0", "web")))
    kept = destroyed(mclu(web, "destroy", "ham0:web"))
    assert kept == dict.fromkeys((DISK, SEED, KERNEL), "ham1:web has the same UUID")
    assert (states(web, "ham0"), states(web, "ham1")) == ({}, {"web": "running"})
    assert len(images(web, "ham0")) == 3


def test_a_disk_that_another_guest_uses_on_another_node_stays(web: RealLab) -> None:
    """As on shared storage: it is the same file there, by whatever guest it is used."""
    there = f"{web.path}/nodes/{{}}/lib-libvirt/images/web.qcow2"
    done = web.run("ln", there.format("ham0"), there.format("ham1"))
    assert done.returncode == 0, done.stderr
    sh(web, "ham1", DEFINE.format(os="", devices=A_DISK.format(kind="qcow2", file=DISK)))
    assert destroyed(mclu(web, "destroy", "web")) == {DISK: "ham1:db uses it"}
    assert (images(web, "ham0"), images(web, "ham1")) == (["web.qcow2"], ["web.qcow2"])


def test_another_nodes_disk_of_the_same_name_does_not_matter(web: RealLab) -> None:
    sh(web, "ham1", f"qemu-img create -q -f qcow2 {DISK} 1M")
    sh(web, "ham1", DEFINE.format(os="", devices=A_DISK.format(kind="qcow2", file=DISK)))
    assert destroyed(mclu(web, "destroy", "web")) == {}
    assert (images(web, "ham0"), images(web, "ham1")) == ([], ["web.qcow2"])


def test_while_a_node_cannot_be_asked_whether_it_has_the_guest_nothing_is_destroyed(web: RealLab) -> None:
    web.freeze("ham1", libvirtd=True)
    try:
        told = mclu(web, "destroy", "ham0:web")
    finally:
        web.thaw("ham1", libvirtd=True)
    assert (told.status, told.out) == (1, "")
    refused, why = told.err.splitlines()
    assert refused.startswith("mclu: ham0: web not destroyed: cannot check ham1 for the same guest; ")
    assert why.startswith("mclu: ham1: cannot check for the same guest: libvirtd not answering; ")
    assert (states(web, "ham0"), len(images(web, "ham0"))) == ({"web": "running"}, 3)


def test_a_guest_that_mclu_did_not_make(lab: RealLab) -> None:
    sh(lab, "ham0", f"qemu-img create -q -f qcow2 {IMAGES}/db.qcow2 1M")
    define(lab, A_DISK.format(kind="qcow2", file=f"{IMAGES}/db.qcow2"))
    assert destroyed(mclu(lab, "destroy", "db"), "ham0:db") == {f"{IMAGES}/db.qcow2": "not made by mclu"}
    assert (states(lab, "ham0"), images(lab, "ham0")) == ({}, ["db.qcow2"])
