"""destroy on real nodes: everything of the guest is removed; failures are reported."""

import re

import pytest

from tests.lab.support.cli import describe_guest, mclu, python, run_guest, virsh
from tests.lab.support.destroy import A_DISK, BELONGINGS, DEFINE, DISK, SEED, boot, define_db, kept_files, start_twin
from tests.lab.support.guests import IMAGES, images, sh, states, traces, uuid
from tests.lab.support.lab import RealLab

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("templates")]

BAD = "/tmp/bad"


def test_destroy_leaves_nothing_of_a_guest(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    boot(lab)
    assert images(lab, "ham0") == ["web.qcow2", "web.qcow2.kernel", "web.qcow2.seed"]
    assert kept_files(mclu(lab, "destroy", "web")) == {}
    assert traces(lab, "ham0") == before
    boot(lab)


@pytest.mark.parametrize("belonging", BELONGINGS)
def test_destroy_removes_everything_that_belongs_to_the_guest(lab: RealLab, belonging: str) -> None:
    listing = "virsh -q list --all; find /var/lib/libvirt /etc/libvirt ! -type d"
    before = sh(lab, "ham0", listing)
    boot(lab)
    sh(lab, "ham0", f"set -e; {BELONGINGS[belonging]}")
    assert kept_files(mclu(lab, "destroy", "web")) == {}
    assert sh(lab, "ham0", listing) == before


def test_destroy_removes_guests_that_are_shut_off_or_transient(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    boot(lab)
    virsh(lab, "ham0", "destroy", "web")
    # A running guest without a definition disappears when it is stopped.
    boot(lab, "ham0:db")
    virsh(lab, "ham0", "undefine", "db")
    result = mclu(lab, "destroy", "web", "db")
    assert (result.status, sorted(result.lines)) == (0, ["ham0:db destroyed", "ham0:web destroyed"]), result
    assert traces(lab, "ham0") == before


def test_destroy_removes_many_guests_with_yes(lab: RealLab) -> None:
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
    result = mclu(lab, "destroy", "--yes", "*:web", "d*")
    assert (result.status, sorted(result.lines)) == (
        0,
        ["ham0:web destroyed", "ham1:db destroyed", "ham1:web destroyed"],
    )
    assert (states(lab, "ham0"), states(lab, "ham1")) == ({}, {"other": "running"})
    assert images(lab, "ham0") == images(lab, "ham1") == []


# Failures


def test_missing_disks_of_other_guests_do_not_stop_destroy(web: RealLab) -> None:
    # A missing backing file, a missing disk, and a missing device.
    make = "cd /tmp; qemu-img create -q -f raw gone 1M; qemu-img create -q -f qcow2 -F raw -b gone lost.qcow2; rm gone"
    disks = ["/tmp/lost.qcow2", "/tmp/nowhere.img", "/dev/loop-none"]
    devices = "".join(
        A_DISK.format(kind="raw", file=file).replace("vda", f"vd{i}") for i, file in zip("abc", disks, strict=True)
    )
    define_db(web, devices, before=make)
    assert kept_files(mclu(web, "destroy", "web")) == {}
    assert images(web, "ham0") == []


def test_an_unreadable_disk_of_another_guest_stops_destroy_before_any_change(web: RealLab) -> None:
    define_db(web, A_DISK.format(kind="vmdk", file=BAD), before=f"printf KDMVrubbish >{BAD}")
    before = traces(web, "ham0")
    result = mclu(web, "destroy", "web")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(
        f"mclu: ham0: web not destroyed: cannot determine the backing file of {BAD}, which db uses: "
    )
    assert result.err.endswith(f"; repair or delete {BAD}, or undefine db\n")
    assert traces(web, "ham0") == before
    # It cannot matter to a guest without files to delete, and it needs nothing once it is deleted.
    assert kept_files(mclu(web, "destroy", "db"), "ham0:db") == {BAD: "not made by mclu"}
    sh(web, "ham0", f"cp {BAD} {DISK}.new; virsh destroy web; mv {DISK}.new {DISK}")
    assert kept_files(mclu(web, "destroy", "web")) == {}
    assert images(web, "ham0") == []


@pytest.mark.parametrize("fault", ["damaged", "rubbish", "text", "a directory"])
def test_a_broken_disk_of_another_guest_stops_destroy_only_if_it_may_matter(web: RealLab, fault: str) -> None:
    make = {
        "damaged": f"qemu-img create -q -u -f qcow2 -F raw -b /lost {BAD} 1G; printf '\\1' >/tmp/1;"
        f" dd if=/tmp/1 of={BAD} bs=1 seek=47 conv=notrunc status=none; ! qemu-img info {BAD} 2>/dev/null",
        "rubbish": f"printf 'QFI\\373rubbish' >{BAD}",
        "text": f"echo '# Disk of a friend' >{BAD}",
        "a directory": f"mkdir {BAD}",
    }[fault]
    define_db(web, A_DISK.format(kind="qcow2", file=BAD), before=make)
    assert kept_files(mclu(web, "destroy", "web")) == {}
    assert images(web, "ham0") == []


def test_destroy_can_be_retried_after_a_file_could_not_be_deleted(web: RealLab) -> None:
    sh(web, "ham0", f"mount --bind {IMAGES} {IMAGES} && mount -o remount,bind,ro {IMAGES}")
    result = mclu(web, "destroy", "web")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith("mclu: ham0: cannot delete all files of web, which is now stopped: rm: ")
    assert states(web, "ham0") == {"web": "shut off"}
    sh(web, "ham0", f"umount {IMAGES}")
    assert kept_files(mclu(web, "destroy", "web")) == {}
    assert (states(web, "ham0"), images(web, "ham0")) == ({}, [])


DESTROY_WITH_A_CHANGE_AT_THE_PROMPT = """
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


def test_a_guest_migrated_during_the_prompt_keeps_its_disk(web: RealLab) -> None:
    output = python(web, DESTROY_WITH_A_CHANGE_AT_THE_PROMPT, "ham1", start_twin(uuid(web, "ham0", "web")))
    assert f"delete: {DISK}" in output
    assert f"kept: {DISK} (ham1:web has the same UUID)" in output
    assert (states(web, "ham0"), len(images(web, "ham0"))) == ({}, 3)


def test_a_snapshot_made_during_the_prompt_stays(web: RealLab) -> None:
    """The user did not confirm its file, so the file stays, and so does its backing file, the disk."""
    overlay = f"{IMAGES}/web.one"
    output = python(
        web,
        DESTROY_WITH_A_CHANGE_AT_THE_PROMPT,
        "ham0",
        f"virsh -q snapshot-create-as web one --disk-only --diskspec vda,file={overlay}",
    )
    assert f"delete: {DISK}" in output
    assert f"kept: {overlay} (made after the confirmation)" in output
    assert f"kept: {DISK} (a backing file of {overlay})" in output
    assert images(web, "ham0") == ["web.one", "web.qcow2"]


def test_destroy_respects_changes_made_during_the_prompt(web: RealLab) -> None:
    """destroy neither deletes a file that another guest uses by now, nor a new guest of the same name."""
    use = DEFINE.format(devices=A_DISK.format(kind="raw", file=SEED), os="")
    output = python(web, DESTROY_WITH_A_CHANGE_AT_THE_PROMPT, "ham0", use)
    assert re.match(r"web on ham0 \(running\), [\d.]+K on disk\n(  delete: \S+\n){4}Destroy it\?\n", output), output
    assert f"kept: {SEED} (db uses it)" in output
    assert images(web, "ham0") == ["web.qcow2.seed"]
    sh(web, "ham0", f"rm {SEED}")
    boot(web)
    taken = f"virsh -q destroy web; virsh -q undefine web; virsh -q define {describe_guest(web, 'ham0', 'web')}"
    assert "web no longer exists" in python(web, DESTROY_WITH_A_CHANGE_AT_THE_PROMPT, "ham0", taken)
    assert states(web, "ham0") == {"db": "shut off", "web": "shut off"}
    assert len(images(web, "ham0")) == 3


def test_destroy_suggests_the_nearest_name_for_an_unknown_guest(web: RealLab) -> None:
    result, message = mclu(web, "destroy", "wbe"), "mclu: no such guest 'wbe'"
    assert (result.status, result.out, result.err) == (
        1,
        "",
        f"{message} (ham2, ham3 are off); did you mean 'web'?\n",
    )
    result = mclu(web, "destroy", "ham1:web", "ham0:web")
    assert (result.status, result.out, result.err) == (1, "", "mclu: ham1: no such guest 'web'\n")
    assert states(web, "ham0") == {"web": "running"}
