"""destroy on real nodes: all that is the guest's goes, and never a byte that is not."""

import re
from pathlib import Path

import pytest

from tests.lab.booted import (
    BUILD,
    IMAGES,
    images,
    make_ready,
    sh,
    states,
    template,
    traces,
    uuid,
)
from tests.lab.reallab import RealLab
from tests.lab.typed import Told, describe_guest, mclu, python, run_guest, virsh


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for templates, in which there is `quick`: with a disk, a seed, and a file of another kind."""
    directory = tmp_path / "templates"
    directory.mkdir()
    template(directory, "quick", build=f'{BUILD}\ntruncate -s 64K "$output.seed"; echo >"$output.kernel"')
    monkeypatch.setenv("MCLU_PATH", str(directory))
    return directory


@pytest.fixture
def lab(lab4: RealLab, templates: Path) -> RealLab:
    """ham0 and ham1 are on and empty; ham2 and ham3 are off."""
    make_ready(lab4)
    return lab4


@pytest.fixture
def web(lab: RealLab) -> RealLab:
    """The guest web runs on ham0."""
    boot(lab)
    return lab


def boot(lab: RealLab, guest: str = "ham0:web", template: str = "quick") -> None:
    told = mclu(lab, "boot", template, guest)
    assert told.out == f"{guest} running\n", told


def destroyed(told: Told, guest: str = "ham0:web") -> dict[str, str]:
    """Assert that a guest was destroyed, and return what was kept, with the reasons."""
    assert (told.status, told.err) == (0, ""), told
    assert told.lines[0] == f"{guest} destroyed"
    kept = [re.fullmatch(r"  kept: (\S+) \((.*)\)", line) for line in told.lines[1:]]
    return {line[1]: line[2] for line in kept if line}


DISK, SEED, KERNEL = (f"{IMAGES}/web.qcow2{suffix}" for suffix in ("", ".seed", ".kernel"))
DEFINE = """cat >/tmp/db.xml <<END
<domain type='qemu'><name>db</name><memory unit='MiB'>32</memory><os><type>hvm</type>{os}</os>
<features><acpi/></features><devices>{devices}</devices></domain>
END
virsh -q define /tmp/db.xml"""
A_DISK = "<disk type='file'><driver type='{kind}'/><source file='{file}'/><target dev='vda'/></disk>"
A_CD = "<disk device='cdrom' type='file'><source file='{file}'/><target dev='sda' bus='sata'/></disk>"


def define(lab: RealLab, devices: str = "", os: str = "", before: str = "true") -> None:
    """Define the guest db on ham0 by hand."""
    sh(lab, "ham0", before + "\n" + DEFINE.format(devices=devices, os=os))


# Complete


def test_nothing_of_it_is_left(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    boot(lab)
    assert images(lab, "ham0") == ["web.qcow2", "web.qcow2.kernel", "web.qcow2.seed"]
    assert destroyed(mclu(lab, "destroy", "web")) == {}
    assert traces(lab, "ham0") == before
    boot(lab)


# What a guest may have besides its disks, as a script that makes it on its node.
BELONGINGS = {
    "snapshots": "virsh snapshot-create-as web one; virsh snapshot-create-as web two",
    "a snapshot in files": (
        f"virsh snapshot-create-as web one --memspec file={IMAGES}/web.memory --diskspec vda,snapshot=external"
        " --diskspec sdz,snapshot=no"
    ),
    "checkpoints": "virsh checkpoint-create-as web one; virsh checkpoint-create-as web two",
    "a managed save": "virsh managedsave web",
    "NVRAM": (
        'virsh destroy web; virsh dumpxml --inactive web | sed \'s|</type>|&<loader readonly="yes" type="pflash">'
        "/tmp/firmware</loader><nvram>/var/lib/libvirt/qemu/nvram/web_VARS.fd</nvram>|' >/tmp/web.xml;"
        "virsh define /tmp/web.xml; mkdir -p /var/lib/libvirt/qemu/nvram; touch /var/lib/libvirt/qemu/nvram/web_VARS.fd"
    ),
}


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


# What is not its own


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
    assert destroyed(mclu(web, "destroy", "web")) == {DISK: f"{overlay} is built on it", overlay: "not made by mclu"}
    assert images(web, "ham0") == ["by-hand.qcow2", "web.qcow2"]


def test_a_disk_stays_on_which_somebody_has_built_another(web: RealLab) -> None:
    """No guest names it; and beside it lies what is no image, although it begins as one does."""
    child, junk = f"{IMAGES}/child.qcow2", f"{IMAGES}/junk.qcow2"
    sh(web, "ham0", f"qemu-img create -q -f qcow2 -F qcow2 -b {DISK} {child}; printf 'QFI\\373junk, all of it' >{junk}")
    assert destroyed(mclu(web, "destroy", "web")) == {DISK: f"{child} is built on it"}
    assert images(web, "ham0") == ["child.qcow2", "junk.qcow2", "web.qcow2"]
    sh(web, "ham0", f"qemu-img info --backing-chain {child}")


# What is at the place of one of its files: how it got there, what is kept, and what is there when the guest is gone.
ODD: dict[str, tuple[str, dict[str, str], str]] = {
    "a directory": (f"rm {SEED}; mkdir {SEED}", {SEED: "a directory"}, SEED),
    "a pipe": (f"rm {SEED}; mkfifo {SEED}", {SEED: "not a file"}, SEED),
    "a mount": (f"echo >/tmp/x; mount --bind /tmp/x {SEED}", {SEED: "something is mounted on it"}, SEED),
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


def snapshot(lab: RealLab, guest: str, *more: str) -> None:
    virsh(lab, "ham0", "snapshot-create-as", guest, "one", *more)


def test_a_disk_that_was_moved_stays_with_its_overlay(web: RealLab) -> None:
    """Without the name that the overlay has for it, the overlay would be lost."""
    sh(web, "ham0", f"virsh -q destroy web; mv {DISK} /tmp/moved; ln -s /tmp/moved {DISK}; virsh -q start web")
    snapshot(web, "web", "--disk-only", "--diskspec", f"vda,file={IMAGES}/web.one")
    assert destroyed(mclu(web, "destroy", "web")) == {
        f"{IMAGES}/web.one": "not made by mclu",
        "/tmp/moved": "not made by mclu",
        DISK: f"{IMAGES}/web.one is built on it",
    }
    assert images(web, "ham0") == ["web.one", "web.qcow2"]


def test_a_file_that_a_snapshot_was_told_to_use_stays(web: RealLab) -> None:
    """Also what libvirt has it built on: the file itself does not say so."""
    sh(web, "ham0", "qemu-img create -q -f qcow2 /tmp/mine.qcow2 1M")
    snapshot(web, "web", "--disk-only", "--diskspec", "vda,file=/tmp/mine.qcow2", "--reuse-external")
    kept = destroyed(mclu(web, "destroy", "web"))
    assert kept == {"/tmp/mine.qcow2": "not made by mclu", DISK: "/tmp/mine.qcow2 is built on it"}
    sh(web, "ham0", f"[ -e /tmp/mine.qcow2 ] && [ -e {DISK} ]")


def test_a_users_own_file_stays_also_if_it_is_built_on_the_disk(web: RealLab) -> None:
    sh(web, "ham0", f"qemu-img create -q -f qcow2 -F qcow2 -b {DISK} /tmp/mine.qcow2")
    snapshot(web, "web", "--disk-only", "--diskspec", "vda,file=/tmp/mine.qcow2", "--reuse-external")
    kept = destroyed(mclu(web, "destroy", "web"))
    assert kept == {"/tmp/mine.qcow2": "not made by mclu", DISK: "/tmp/mine.qcow2 is built on it"}
    sh(web, "ham0", f"[ -e /tmp/mine.qcow2 ] && [ -e {DISK} ]")


def test_an_overlay_goes_but_not_what_somebody_has_put_below_it(web: RealLab) -> None:
    hand = f"{IMAGES}/by-hand.qcow2"
    make = f"virsh destroy web; qemu-img create -q -f qcow2 -F qcow2 -b {DISK} {hand}"
    change = f"virsh dumpxml --inactive web | sed \"s|'{DISK}'|'{hand}'|\" >/tmp/w"
    sh(web, "ham0", f"{make}; {change}; virsh define /tmp/w; virsh start web")
    snapshot(web, "web", "--disk-only", "--diskspec", f"vda,file={IMAGES}/web.one")
    assert destroyed(mclu(web, "destroy", "web")) == {hand: "not made by mclu", DISK: f"{hand} is built on it"}
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
        f"mclu: ham0: web cannot be destroyed without its NVRAM {NVRAM}, which has to stay (db uses it); "
        "on the node: virsh undefine --keep-nvram --managed-save web\n"
    )
    assert traces(web, "ham0") == before
    virsh(web, "ham0", "undefine", "--keep-nvram", "db")
    assert destroyed(mclu(web, "destroy", "web")) == {}
    sh(web, "ham0", f"[ ! -e {NVRAM} ]")


def start_twin(guest_uuid: str) -> str:
    """Return a script that has the guest web run on another node, too."""
    head = f"<domain type='qemu'><name>web</name><uuid>{guest_uuid}</uuid>"
    xml = f"{head}<memory unit='MiB'>32</memory><os><type>hvm</type></os></domain>"
    return f"cat >/tmp/web.xml <<END\n{xml}\nEND\nvirsh -q create /tmp/web.xml"


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
    assert refused.startswith("mclu: ham0: web was not destroyed: whether ham1 has it, too, cannot be told; ")
    assert why.startswith("mclu: ham1: cannot tell whether it has the same guest: libvirtd not answering; ")
    assert (states(web, "ham0"), len(images(web, "ham0"))) == ({"web": "running"}, 3)


def test_a_guest_that_mclu_did_not_make(lab: RealLab) -> None:
    sh(lab, "ham0", f"qemu-img create -q -f qcow2 {IMAGES}/db.qcow2 1M")
    define(lab, A_DISK.format(kind="qcow2", file=f"{IMAGES}/db.qcow2"))
    assert destroyed(mclu(lab, "destroy", "db"), "ham0:db") == {f"{IMAGES}/db.qcow2": "not made by mclu"}
    assert (states(lab, "ham0"), images(lab, "ham0")) == ({}, ["db.qcow2"])


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
    assert told.err.startswith("mclu: ham0: cannot tell what is built on what, so nothing was deleted: ")
    assert "bad.qcow2" in told.err
    assert traces(web, "ham0") == before


def test_what_cannot_be_deleted_is_told_and_can_be_tried_again(web: RealLab) -> None:
    sh(web, "ham0", f"mount --bind {IMAGES} {IMAGES} && mount -o remount,bind,ro {IMAGES}")
    told = mclu(web, "destroy", "web")
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("mclu: ham0: web is stopped, but not all of its files could be deleted: rm: ")
    assert states(web, "ham0") == {"web": "shut off"}
    sh(web, "ham0", f"umount {IMAGES}")
    assert destroyed(mclu(web, "destroy", "web")) == {}
    assert (states(web, "ham0"), images(web, "ham0")) == ({}, [])


ASKED = """
import os, subprocess, sys
from pathlib import Path
from mclu_shell.cloud.cloud import open_cloud
from mclu_shell.commands import load_command
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
    assert f"kept: {overlay} (made meanwhile)" in said
    assert f"kept: {DISK} ({overlay} is built on it)" in said
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
    assert "web has gone meanwhile" in python(web, ASKED, "ham0", taken)
    assert states(web, "ham0") == {"db": "shut off", "web": "shut off"}
    assert len(images(web, "ham0")) == 3


def test_no_such_guest(web: RealLab) -> None:
    told, complaint = mclu(web, "destroy", "wbe"), "mclu: no such guest 'wbe'"
    assert (told.status, told.out, told.err) == (1, "", f"{complaint} (ham2, ham3 are off); did you mean 'web'?\n")
    told = mclu(web, "destroy", "ham1:web", "ham0:web")
    assert (told.status, told.out, told.err) == (1, "", "mclu: ham1: no such guest 'web'\n")
    assert states(web, "ham0") == {"web": "running"}
