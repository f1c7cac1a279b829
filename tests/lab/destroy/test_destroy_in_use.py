"""destroy on real nodes: files in use without being a guest's disk, moved disks, and guests that go together."""

import json
import time

import pytest

from tests.lab.support.cli import mclu, virsh
from tests.lab.support.destroy import A_DISK, DISK, KERNEL, SEED, boot, define_db, kept_files
from tests.lab.support.guests import IMAGES, images, sh, states
from tests.lab.support.lab import RealLab

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("templates")]

# An image on the disk of web, in another directory, whose name for it has escapes.
OVERLAY = "/tmp/over.qcow2"
_NAME = json.dumps({"driver": "qcow2", "file.driver": "file", "file.filename": DISK}).replace("/", r"\/")
MAKE_OVERLAY = f"qemu-img create -q -u -f qcow2 -F qcow2 -b 'json:{_NAME}' {OVERLAY} 1M"
OPTION = "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>{}</q:commandline>"
_FILE = {"driver": "file", "filename": OVERLAY}
# The working directory of QEMU is /.
OPTIONS = [
    ("-blockdev", json.dumps({"driver": "qcow2", "node-name": "x", "file": _FILE})),
    ("-drive", f"if=none,id=x,file={OVERLAY.lstrip('/')}"),
]
UNUSED = "the guest no longer uses it, and mclu may not have made it"


def test_the_disk_behind_a_json_name_with_escapes_stays(web: RealLab) -> None:
    virsh(web, "ham0", "destroy", "web")
    define_db(web, A_DISK.format(kind="qcow2", file=OVERLAY), before=MAKE_OVERLAY)
    assert kept_files(mclu(web, "destroy", "web")) == {DISK: "db uses it"}
    assert images(web, "ham0") == ["web.qcow2"]


@pytest.mark.parametrize(("option", "value"), OPTIONS)
def test_the_disk_behind_an_image_in_a_qemu_option_stays(web: RealLab, option: str, value: str) -> None:
    virsh(web, "ham0", "destroy", "web")
    option = OPTION.format(f"<q:arg value='{option}'/><q:arg value='{value}'/>")
    # The commandline is an element of the domain.
    sh(web, "ham0", MAKE_OVERLAY)
    define_db(web)
    script = f"""cat >/tmp/option <<'END'
{option}
END
sed -i 's|</domain>||' /tmp/db.xml; cat /tmp/option >>/tmp/db.xml; echo '</domain>' >>/tmp/db.xml
virsh -q undefine db; virsh -q define /tmp/db.xml"""
    sh(web, "ham0", script)
    assert kept_files(mclu(web, "destroy", "web")) == {DISK: "db uses it"}
    assert images(web, "ham0") == ["web.qcow2"]


def test_an_undecodable_name_prevents_every_deletion(web: RealLab) -> None:
    virsh(web, "ham0", "destroy", "web")
    make = f"qemu-img create -q -u -f qcow2 -F qcow2 -b 'json:{{broken' {OVERLAY} 1M"
    define_db(web, A_DISK.format(kind="qcow2", file=OVERLAY), before=make)
    result = mclu(web, "destroy", "web")
    assert (result.status, result.out) == (1, "")
    reason = (
        f"cannot determine the backing file of {OVERLAY}, which db uses: cannot decode the name of its backing file"
    )
    remedy = f"repair or delete {OVERLAY}, or undefine db"
    assert result.err == f"mclu: ham0: web not destroyed: {reason}; {remedy}\n"
    assert len(images(web, "ham0")) == 3


@pytest.mark.parametrize("state", ["running", "shut off"])
def test_files_that_a_process_has_mapped_stay(web: RealLab, state: str) -> None:
    if state == "shut off":
        virsh(web, "ham0", "destroy", "web")
    program = f"import mmap,os,time; f=os.open('{SEED}',os.O_RDONLY); m=mmap.mmap(f,0,prot=mmap.PROT_READ)"
    close = "[os.close(int(n)) for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/'+n) and int(n)>2]"
    sh(web, "ham0", f'python3 -c "{program}; {close}; open(\'/tmp/ready\',\'w\'); time.sleep(600)" >/dev/null 2>&1 &'
       " echo $! >/tmp/pid; until [ -e /tmp/ready ]; do sleep 0.1; done")  # fmt: skip
    process = sh(web, "ham0", "cat /tmp/pid").strip()
    try:
        kept = kept_files(mclu(web, "destroy", "web"))
    finally:
        sh(web, "ham0", "kill $(cat /tmp/pid)")
    assert kept[SEED].startswith(f"open in process {process}")
    assert len(images(web, "ham0")) == 3


def test_a_moved_disk_and_the_file_in_its_place_stay(web: RealLab) -> None:
    virsh(web, "ham0", "destroy", "web")
    move = f"mv {DISK} /tmp/moved.qcow2; virsh dumpxml --inactive web | sed \"s|'{DISK}'|'/tmp/moved.qcow2'|\" >/tmp/w"
    sh(web, "ham0", f"{move}; virsh -q define /tmp/w; echo mine >{DISK}")
    assert kept_files(mclu(web, "destroy", "web")) == {DISK: UNUSED, "/tmp/moved.qcow2": "not made by mclu"}
    assert sh(web, "ham0", f"cat {DISK}; ls /tmp/moved.qcow2").split() == ["mine", "/tmp/moved.qcow2"]


def test_a_detached_seed_and_an_unused_kernel_are_deleted(web: RealLab) -> None:
    """They are the files that mclu made."""
    virsh(web, "ham0", "destroy", "web")
    virsh(web, "ham0", "detach-disk", "web", "vdz", "--config")
    definition = virsh(web, "ham0", "dumpxml", "web", "--inactive").splitlines()
    assert [line for line in definition if (SEED in line or KERNEL in line) and "<mclu:file" not in line] == []
    assert kept_files(mclu(web, "destroy", "web")) == {}
    assert images(web, "ham0") == []


def test_linked_guests_are_destroyed_together(web: RealLab) -> None:
    """The overlay of copy is on the disk of web, which is destroyed by the same command."""
    virsh(web, "ham0", "destroy", "web")
    boot(web, "ham0:copy")
    virsh(web, "ham0", "destroy", "copy")
    sh(web, "ham0", f"qemu-img rebase -u -F qcow2 -b {DISK} {IMAGES}/copy.qcow2")
    plan = mclu(web, "-n", "destroy", "web", "copy")
    assert "keep" not in plan.out
    assert f"  would delete {DISK}" in plan.out
    result = mclu(web, "-o", "json", "destroy", "web", "copy")
    records = [json.loads(line) for line in result.lines]
    assert [(record["guest"], record["kept"]) for record in records] == [("copy", []), ("web", [])]
    assert (states(web, "ham0"), images(web, "ham0")) == ({}, [])


def test_the_console_log_is_listed_and_kept_for_another_guest(web: RealLab) -> None:
    log = "/var/log/libvirt/qemu/web.serial"
    plan = mclu(web, "-n", "destroy", "web")
    assert f"  would delete {log} (" in plan.out
    virsh(web, "ham0", "destroy", "web")
    serial = "<serial type='pty'><log file='/tmp/logs/web.serial'/><target port='0'/></serial>"
    define_db(web, serial, before="ln -s /var/log/libvirt/qemu /tmp/logs")
    assert kept_files(mclu(web, "destroy", "web")) == {log: "db uses it"}
    sh(web, "ham0", f"[ -e {log} ]; rm {log}")


def test_a_frozen_node_is_awaited_once(web: RealLab) -> None:
    web.freeze("ham1")
    try:
        started = time.monotonic()
        assert kept_files(mclu(web, "destroy", "web")) == {}
        took_s = time.monotonic() - started
    finally:
        web.thaw("ham1")
    # The deadline of an answer is 4 s; destroy itself takes some time, too.
    assert 3 < took_s < 7.5
