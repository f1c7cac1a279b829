"""destroy on real nodes decides by file, not by path: on storage that nodes share, mounted anywhere.

A directory of this machine, bind-mounted in two nodes, stands in for a network file system.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.support.cli import mclu, virsh
from tests.lab.support.destroy import A_DISK, DEFINE, DISK, KERNEL, SEED, boot, define_db, kept_files
from tests.lab.support.guests import IMAGES, images, sh, states
from tests.lab.support.lab import RealLab

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("templates")]

# The second mount point of the storage on ham0, and the only one on ham1. /tmp belongs to the node.
OTHER = "/tmp/other"


@pytest.fixture
def storage(lab: RealLab) -> Iterator[RealLab]:
    """Two nodes with shared storage: the directory of images on ham0, and /tmp/other on both; web runs on ham0."""
    directory = Path(tempfile.mkdtemp(dir="/var/tmp"))
    try:
        sh(lab, "ham0", f"mount --bind {directory} {IMAGES}")
        for node in ("ham0", "ham1"):
            sh(lab, node, f"mkdir {OTHER}; mount --bind {directory} {OTHER}")
        boot(lab)
        yield lab
    finally:
        for node in ("ham0", "ham1"):
            lab.run("sh", "-c", f"umount -l {OTHER}; umount -l {IMAGES}", node=node)
        shutil.rmtree(directory)


def define_on_ham1(lab: RealLab, file: str) -> None:
    sh(lab, "ham1", DEFINE.format(os="", devices=A_DISK.format(kind="qcow2", file=file)))


def test_a_backing_file_of_a_stopped_guest_on_another_node_stays(storage: RealLab) -> None:
    """Its overlay is in a directory of that node alone."""
    overlay = "/tmp/over.qcow2"
    sh(storage, "ham1", f"qemu-img create -q -f qcow2 -F qcow2 -b {OTHER}/web.qcow2 {overlay}")
    define_on_ham1(storage, overlay)
    assert kept_files(mclu(storage, "destroy", "web")) == {DISK: "ham1:db uses it"}
    assert images(storage, "ham0") == ["web.qcow2"]
    assert states(storage, "ham1") == {"db": "shut off"}


def test_a_disk_of_a_running_guest_on_another_node_stays_under_any_path(storage: RealLab) -> None:
    virsh(storage, "ham0", "destroy", "web")
    define_on_ham1(storage, f"{OTHER}/web.qcow2")
    virsh(storage, "ham1", "start", "db")
    plan = mclu(storage, "-n", "destroy", "web")
    assert f"  would keep {DISK} (ham1:db uses it)" in plan.lines
    assert kept_files(mclu(storage, "destroy", "web")) == {DISK: "ham1:db uses it"}
    assert images(storage, "ham0") == ["web.qcow2"]
    assert states(storage, "ham1") == {"db": "running"}


@pytest.mark.parametrize("state", ["running", "shut off"])
def test_a_disk_of_a_guest_on_the_same_node_stays_under_any_path(storage: RealLab, state: str) -> None:
    virsh(storage, "ham0", "destroy", "web")
    define_db(storage, A_DISK.format(kind="qcow2", file=f"{OTHER}/web.qcow2"))
    if state == "running":
        virsh(storage, "ham0", "start", "db")
    assert kept_files(mclu(storage, "destroy", "web")) == {DISK: "db uses it"}
    assert images(storage, "ham0") == ["web.qcow2"]
    assert states(storage, "ham0") == {"db": state}


def test_a_disk_of_a_guest_that_uses_it_through_an_overlay_stays(storage: RealLab) -> None:
    """The overlay has a device number of its own."""
    virsh(storage, "ham0", "destroy", "web")
    sh(storage, "ham0", f"cd /tmp; mkdir u w all; mount -t overlay -o lowerdir={OTHER},upperdir=u,workdir=w - all")
    try:
        define_db(storage, A_DISK.format(kind="qcow2", file="/tmp/all/web.qcow2"))
        assert kept_files(mclu(storage, "destroy", "web")) == {DISK: "db uses it"}
    finally:
        sh(storage, "ham0", "umount /tmp/all")
    assert images(storage, "ham0") == ["web.qcow2"]


def test_an_external_data_file_of_another_guest_stays(storage: RealLab) -> None:
    """qcow2 can store a guest's data in another file, which is none of its backing files."""
    virsh(storage, "ham0", "destroy", "web")
    make = f"qemu-img create -q -f qcow2 -o data_file={OTHER}/web.qcow2.seed,data_file_raw=on /tmp/meta.qcow2 64K"
    sh(storage, "ham1", make)
    define_on_ham1(storage, "/tmp/meta.qcow2")
    assert kept_files(mclu(storage, "destroy", "web")) == {SEED: "ham1:db uses it"}


@pytest.mark.parametrize("line", ["destroy web ham1:copy", "destroy ham1:copy; destroy web"])
def test_linked_guests_of_two_nodes_are_destroyed_together(storage: RealLab, line: str) -> None:
    """copy runs on ham1; the backing file of its disk is that of web, which it has locked."""
    virsh(storage, "ham0", "destroy", "web")
    boot(storage, "ham1:copy")
    virsh(storage, "ham1", "destroy", "copy")
    sh(storage, "ham1", f"qemu-img rebase -u -F qcow2 -b {OTHER}/web.qcow2 {IMAGES}/copy.qcow2")
    virsh(storage, "ham1", "start", "copy")
    plan = mclu(storage, "-n", "-c", line)
    assert f"  would delete {DISK} (" in plan.out
    assert f"would keep {DISK}" not in plan.out
    result = mclu(storage, "-o", "json", "-c", line)
    copy, web = [json.loads(line) for line in result.lines]
    assert (copy["guest"], web["guest"], web["kept"]) == ("copy", "web", [])
    for node in ("ham0", "ham1"):
        assert (states(storage, node), images(storage, node)) == ({}, [])


def test_the_disk_behind_an_image_in_a_qemu_option_of_another_node_stays(storage: RealLab) -> None:
    """The guest there is shut off, and its image is no disk in libvirt's eyes."""
    virsh(storage, "ham0", "destroy", "web")
    overlay = "/tmp/z.qcow2"
    sh(storage, "ham1", f"qemu-img create -q -f qcow2 -F qcow2 -b {OTHER}/web.qcow2 {overlay}")
    option = f"<q:arg value='-drive'/><q:arg value='if=none,id=y,file={overlay}'/>"
    commandline = f"<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>{option}</q:commandline>"
    sh(storage, "ham1", DEFINE.format(os="", devices="").replace("</domain>", f"{commandline}</domain>"))
    assert kept_files(mclu(storage, "destroy", "web")) == {DISK: "ham1:db uses it"}
    assert images(storage, "ham0") == ["web.qcow2"]


def test_all_files_go_if_nothing_uses_them(storage: RealLab) -> None:
    define_on_ham1(storage, f"{OTHER}/another.qcow2")
    assert kept_files(mclu(storage, "destroy", "web")) == {}
    assert images(storage, "ham0") == []


# A node that cannot be queried


def test_a_frozen_node_does_not_prevent_the_deletion_of_local_files(lab: RealLab) -> None:
    boot(lab)
    lab.freeze("ham1")
    try:
        assert kept_files(mclu(lab, "destroy", "web")) == {}
    finally:
        lab.thaw("ham1")
    assert (states(lab, "ham0"), images(lab, "ham0")) == ({}, [])


@pytest.mark.parametrize("fault", ["frozen", "off"])
def test_files_that_nodes_may_share_need_an_answer_of_all_nodes(lab: RealLab, fault: str) -> None:
    """An overlay file system may have a network file system below."""
    # The other nodes of the lab are off.
    config = (lab.path / "mclu.conf").read_text()
    sh(
        lab,
        "ham0",
        f"mkdir /tmp/u /tmp/w; mount -t overlay -o lowerdir={IMAGES},upperdir=/tmp/u,workdir=/tmp/w - {IMAGES}",
    )
    nodes = [line for line in config.splitlines() if not line.startswith(("ham2", "ham3"))]
    (lab.path / "mclu.conf").write_text("\n".join([*nodes, ""]))
    try:
        boot(lab)
        if fault == "frozen":
            lab.freeze("ham1")
        else:
            lab.off("ham1")
        result = mclu(lab, "destroy", "web")
        assert (result.status, result.out) == (1, "")
        assert result.err.startswith(
            f"mclu: ham0: web not destroyed: {DISK} is on overlayfs, and cannot check ham1 for its users; "
        )
        assert (states(lab, "ham0"), len(images(lab, "ham0"))) == ({"web": "running"}, 3)
        lab.thaw("ham1") if fault == "frozen" else lab.on("ham1")
        assert kept_files(mclu(lab, "destroy", "web")) == {}
    finally:
        (lab.path / "mclu.conf").write_text(config)


# Files that mclu did not make, and those that libvirt deletes


NVRAM = "/tmp/srv/vars.fd"
DEFINE_UEFI = f"""mkdir /tmp/srv; echo >{NVRAM}
{DEFINE.format(devices="", os=f"<loader readonly='yes' type='pflash'>/tmp/f</loader><nvram>{NVRAM}</nvram>")}"""


def test_nvram_that_mclu_did_not_make_stays(lab: RealLab) -> None:
    sh(lab, "ham0", DEFINE_UEFI)
    assert f"  would keep {NVRAM} (not made by mclu)" in mclu(lab, "-n", "destroy", "db").lines
    result = mclu(lab, "-o", "json", "destroy", "db")
    (record,) = [json.loads(line) for line in result.lines]
    assert record["kept"] == [{"path": NVRAM, "reason": "not made by mclu"}]
    assert (record["deleted"], record["state"]) == ([], [])
    assert states(lab, "ham0") == {}
    sh(lab, "ham0", f"[ -e {NVRAM} ]")


def test_all_that_libvirt_deletes_is_listed(lab: RealLab) -> None:
    boot(lab)
    sh(lab, "ham0", "virsh snapshot-create-as web one; virsh snapshot-create-as web two; virsh managedsave web")
    names = ["saved memory", "snapshot one", "snapshot two"]
    plan = mclu(lab, "-n", "destroy", "web")
    assert [f"  would delete {name}" for name in names] == [line for line in plan.lines if line[15:] in names]
    (planned,) = [json.loads(line) for line in mclu(lab, "-n", "-o", "json", "destroy", "web").lines]
    assert planned["state"] == names
    result = mclu(lab, "destroy", "web")
    assert result.lines == ["ham0:web destroyed", *(f"  deleted: {name}" for name in names)]


@pytest.mark.parametrize("state", ["running", "shut off"])
def test_files_that_another_process_has_open_stay(lab: RealLab, state: str) -> None:
    boot(lab)
    if state == "shut off":
        virsh(lab, "ham0", "destroy", "web")
    sh(lab, "ham0", f"sleep 600 <{SEED} >/dev/null 2>&1 & echo $! >/tmp/pid")
    process = sh(lab, "ham0", "cat /tmp/pid").strip()
    try:
        assert f"  would keep {SEED} (open in process {process})" in mclu(lab, "-n", "destroy", "web").lines
        kept = kept_files(mclu(lab, "destroy", "web"))
    finally:
        sh(lab, "ham0", "kill $(cat /tmp/pid)")
    why = f"as {SEED}, which is in use"
    assert kept == {SEED: f"open in process {process}", DISK: why, KERNEL: why}
    assert (states(lab, "ham0"), len(images(lab, "ham0"))) == ({}, 3)


def test_a_file_with_the_lock_of_a_qemu_elsewhere_stays(storage: RealLab) -> None:
    """No guest is defined with it: the process has been started by hand, in a container of its own."""
    virsh(storage, "ham0", "destroy", "web")
    run = f"qemu-system-x86_64 -display none -S -daemonize -pidfile /tmp/pid -drive file={OTHER}/web.qcow2,format=qcow2"
    sh(storage, "ham1", run)
    try:
        kept = kept_files(mclu(storage, "destroy", "web"))
    finally:
        sh(storage, "ham1", "kill $(cat /tmp/pid)")
    assert kept[DISK] == "locked by another process"
    assert "web.qcow2" in images(storage, "ham0")
