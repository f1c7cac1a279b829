"""destroy on real nodes: files that others use, or that mclu did not make, stay and are named."""

from pathlib import Path

import pytest

from tests.lab.support.cli import mclu, run_guest, virsh
from tests.lab.support.destroy import (
    A_CD,
    A_DISK,
    BELONGINGS,
    DEFINE,
    DISK,
    KERNEL,
    SEED,
    boot,
    define_db,
    kept_files,
    start_twin,
)
from tests.lab.support.guests import IMAGES, images, sh, states, template, uuid
from tests.lab.support.lab import RealLab

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("templates")]


def test_disks_that_mclu_did_not_make_stay(web: RealLab) -> None:
    sh(web, "ham0", "for i in a b c; do qemu-img create -q -f raw /tmp/$i.img 1M; done")
    for disk, target, how in (("a", "sdb", "--config"), ("b", "sdc", "--live"), ("c", "sdd", "--persistent")):
        virsh(web, "ham0", "attach-disk", "web", f"/tmp/{disk}.img", target, how, "--targetbus", "usb")
    kept = kept_files(mclu(web, "destroy", "web"))
    assert kept == {f"/tmp/{disk}.img": "not made by mclu" for disk in "abc"}
    assert sh(web, "ham0", "ls /tmp").split() == ["a.img", "b.img", "c.img"]
    assert images(web, "ham0") == []


def test_backing_files_stay(lab: RealLab, templates: Path) -> None:
    overlay = 'qemu-img create -q -f "$format" -F qcow2 -b /tmp/base.qcow2 "$output"'
    template(templates, "overlay", build=overlay)
    # A backing file with a backing file, whose name is relative to its own directory.
    make = "cd /tmp; qemu-img create -q -f raw root.img 1M; qemu-img create -q -f qcow2 -F raw -b root.img base.qcow2"
    sh(lab, "ham0", make)
    boot(lab, template="overlay")
    assert kept_files(mclu(lab, "destroy", "web")) == {
        "/tmp/base.qcow2": "a backing file",
        "/tmp/root.img": "a backing file",
    }
    assert sh(lab, "ham0", "ls /tmp").split() == ["base.qcow2", "root.img"]


# Uses of a file of web by another guest: the file, and the parts of the other guest's definition.
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
def test_a_file_that_another_guest_uses_stays(web: RealLab, how: str) -> None:
    file, definition = USES[how]
    # A running guest would write to it.
    virsh(web, "ham0", "destroy", "web")
    define_db(web, **definition)
    before = sh(web, "ham0", f"sha256sum {file}")
    assert kept_files(mclu(web, "destroy", "web")) == {file: "db uses it"}
    assert sh(web, "ham0", f"sha256sum {file}") == before
    assert images(web, "ham0") == [file.rpartition("/")[2]]
    assert states(web, "ham0") == {"db": "shut off"}


def test_files_in_live_definitions_and_snapshots_of_other_guests_stay(web: RealLab) -> None:
    virsh(web, "ham0", "destroy", "web")
    run_guest(web, "ham0", "now")
    virsh(web, "ham0", "attach-disk", "now", SEED, "sdb", "--live", "--targetbus", "usb")
    define_db(web, A_DISK.format(kind="qcow2", file=DISK))
    sh(web, "ham0", "virsh -q snapshot-create-as db one && virsh -q detach-disk db vda --config")
    assert kept_files(mclu(web, "destroy", "web")) == {DISK: "db uses it", SEED: "now uses it"}
    assert images(web, "ham0") == ["web.qcow2", "web.qcow2.seed"]


@pytest.mark.parametrize("first", ["web", "copy"])
def test_destroying_a_copy_or_its_original_keeps_the_disk_of_the_other(web: RealLab, first: str) -> None:
    virsh(web, "ham0", "destroy", "web")
    change = f"/<uuid>/d; s|<name>web|<name>copy|; s|{DISK}'|{IMAGES}/copy.img'|; s|{SEED}|/tmp/copy.seed|"
    sh(web, "ham0", f"cp {DISK} {IMAGES}/copy.img; cp {SEED} /tmp/copy.seed")
    sh(web, "ham0", f'virsh dumpxml --inactive web | sed "{change}" >/tmp/copy.xml; virsh -q define /tmp/copy.xml')
    both = {"copy.img", "web.qcow2", "web.qcow2.kernel", "web.qcow2.seed"}
    others = dict.fromkeys((f"{IMAGES}/copy.img", "/tmp/copy.seed"), "not made by mclu")
    if first == "copy":
        assert kept_files(mclu(web, "destroy", "copy"), "ham0:copy") == others
        assert set(images(web, "ham0")) == both
        assert kept_files(mclu(web, "destroy", "web")) == {}
    else:
        # The disk of an undefined guest that was not destroyed must survive the destruction of its copy.
        virsh(web, "ham0", "undefine", "web")
        assert kept_files(mclu(web, "destroy", "copy"), "ham0:copy") == others
        assert set(images(web, "ham0")) == both


def test_a_kept_disk_keeps_its_backing_file(web: RealLab) -> None:
    overlay = f"{IMAGES}/by-hand.qcow2"
    virsh(web, "ham0", "destroy", "web")
    make = f"qemu-img create -q -f qcow2 -F qcow2 -b {DISK} {overlay}"
    sh(
        web,
        "ham0",
        f"{make}; virsh dumpxml --inactive web | sed \"s|'{DISK}'|'{overlay}'|\" >/tmp/w; virsh define /tmp/w",
    )
    assert kept_files(mclu(web, "destroy", "web")) == {
        DISK: f"a backing file of {overlay}",
        overlay: "not made by mclu",
    }
    assert images(web, "ham0") == ["by-hand.qcow2", "web.qcow2"]


def test_a_disk_that_is_a_backing_file_of_an_unused_image_stays(web: RealLab) -> None:
    """No guest uses the overlay; a file beside it begins like an image but is none."""
    child, junk = f"{IMAGES}/child.qcow2", f"{IMAGES}/junk.qcow2"
    sh(web, "ham0", f"qemu-img create -q -f qcow2 -F qcow2 -b {DISK} {child}; printf 'QFI\\373junk, all of it' >{junk}")
    assert kept_files(mclu(web, "destroy", "web")) == {DISK: f"a backing file of {child}"}
    assert images(web, "ham0") == ["child.qcow2", "junk.qcow2", "web.qcow2"]
    sh(web, "ham0", f"qemu-img info --backing-chain {child}")


# Objects in the place of a file of the guest: the script that makes one, the kept files, and the path that must exist.
ODD: dict[str, tuple[str, dict[str, str], str]] = {
    "a directory": (f"rm {SEED}; mkdir {SEED}", {SEED: "a directory"}, SEED),
    "a pipe": (f"rm {SEED}; mkfifo {SEED}", {SEED: "not a regular file"}, SEED),
    "a mount": (f"echo >/tmp/x; mount --bind /tmp/x {SEED}", {SEED: "a mount point"}, SEED),
    "a link": (f"mv {SEED} /tmp/seed; ln -s /tmp/seed {SEED}", {"/tmp/seed": "not made by mclu"}, "/tmp/seed"),
    "one of two names": (f"ln {SEED} {IMAGES}/mine", {}, f"{IMAGES}/mine"),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_object_in_the_place_of_a_file_stays(web: RealLab, odd: str) -> None:
    change, kept, stays = ODD[odd]
    sh(web, "ham0", change)
    try:
        assert kept_files(mclu(web, "destroy", "web")) == kept
        assert states(web, "ham0") == {}
        assert images(web, "ham0") == sorted({file[len(IMAGES) + 1 :] for file in (*kept, stays) if IMAGES in file})
        sh(web, "ham0", f"[ -e {stays} ]")
    finally:
        web.run("umount", "-q", SEED, node="ham0")


def test_disks_that_are_not_files_are_kept_and_named(lab: RealLab) -> None:
    sh(lab, "ham0", "mkdir /tmp/dir")
    devices = [
        "<disk type='network'><source protocol='nbd' name='x'><host name='h'/></source><target dev='vda'/></disk>",
        "<disk type='volume'><source pool='lost' volume='v'/><target dev='vdb'/></disk>",
        "<disk type='dir'><driver type='fat'/><source dir='/tmp/dir'/><target dev='vdc'/><readonly/></disk>",
    ]
    define_db(lab, "".join(devices))
    kept = kept_files(mclu(lab, "destroy", "db"), "ham0:db")
    assert kept == dict.fromkeys(("nbd:x", "lost/v", "/tmp/dir"), "not made by mclu")


NVRAM = "/var/lib/libvirt/qemu/nvram/web_VARS.fd"


def test_nvram_that_another_guest_uses_stays(web: RealLab) -> None:
    sh(web, "ham0", f"set -e; {BELONGINGS['NVRAM']}")
    define_db(web, os=f"<loader readonly='yes' type='pflash'>/tmp/firmware</loader><nvram>{NVRAM}</nvram>")
    assert kept_files(mclu(web, "destroy", "web")) == {NVRAM: "db uses it"}
    assert states(web, "ham0") == {"db": "shut off"}
    sh(web, "ham0", f"[ -e {NVRAM} ]")


def test_a_guest_that_also_runs_on_another_node_keeps_its_files(web: RealLab) -> None:
    """After a migration on shared storage, they are the same files on both nodes."""
    virsh(web, "ham0", "destroy", "web")
    sh(web, "ham1", start_twin(uuid(web, "ham0", "web")))
    kept = kept_files(mclu(web, "destroy", "ham0:web"))
    assert kept == dict.fromkeys((DISK, SEED, KERNEL), "ham1:web has the same UUID")
    assert (states(web, "ham0"), states(web, "ham1")) == ({}, {"web": "running"})
    assert len(images(web, "ham0")) == 3


def test_a_disk_that_a_guest_on_another_node_uses_stays(web: RealLab) -> None:
    """On shared storage, it is the same file on both nodes."""
    image = f"{web.path}/nodes/{{}}/lib-libvirt/images/web.qcow2"
    completed = web.run("ln", image.format("ham0"), image.format("ham1"))
    assert completed.returncode == 0, completed.stderr
    sh(web, "ham1", DEFINE.format(os="", devices=A_DISK.format(kind="qcow2", file=DISK)))
    assert kept_files(mclu(web, "destroy", "web")) == {DISK: "ham1:db uses it"}
    assert (images(web, "ham0"), images(web, "ham1")) == (["web.qcow2"], ["web.qcow2"])


def test_a_different_disk_of_the_same_name_on_another_node_does_not_stop_destroy(web: RealLab) -> None:
    sh(web, "ham1", f"qemu-img create -q -f qcow2 {DISK} 1M")
    sh(web, "ham1", DEFINE.format(os="", devices=A_DISK.format(kind="qcow2", file=DISK)))
    assert kept_files(mclu(web, "destroy", "web")) == {}
    assert (images(web, "ham0"), images(web, "ham1")) == ([], ["web.qcow2"])


def test_destroy_keeps_the_disk_of_a_guest_that_mclu_did_not_make(lab: RealLab) -> None:
    sh(lab, "ham0", f"qemu-img create -q -f qcow2 {IMAGES}/db.qcow2 1M")
    define_db(lab, A_DISK.format(kind="qcow2", file=f"{IMAGES}/db.qcow2"))
    assert kept_files(mclu(lab, "destroy", "db"), "ham0:db") == {f"{IMAGES}/db.qcow2": "not made by mclu"}
    assert (states(lab, "ham0"), images(lab, "ham0")) == ({}, ["db.qcow2"])
