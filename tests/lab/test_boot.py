"""boot on real nodes: what it makes, what it refuses, and that nothing is left when it does not come to its end."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.lab.booted import (
    BUILD,
    IMAGES,
    SHIPPED,
    WAIT,
    images,
    make_ready,
    open_gate,
    send,
    sh,
    states,
    template,
    traces,
    uuid,
    wait_for_gate,
)
from tests.lab.reallab import RealLab
from tests.lab.terminal import CTRL_C, typed
from tests.lab.typed import Told, at_once, describe_guest, mclu, run_guest, started, until, virsh


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for templates, in which there is `quick`; those that come with mclu are found, too."""
    directory = tmp_path / "templates"
    directory.mkdir()
    template(directory, "quick")
    monkeypatch.setenv("MCLU_PATH", f"{directory}:{SHIPPED}")
    return directory


@pytest.fixture
def lab(lab4: RealLab, templates: Path) -> RealLab:
    """ham0 and ham1 are on and empty; ham2 and ham3 are off."""
    make_ready(lab4)
    return lab4


def complains(told: Told, start: str, *words: str, status: int = 1) -> None:
    """Assert that one clear line says why there is no guest."""
    assert (told.status, told.out) == (status, ""), told
    assert told.err.startswith(f"mclu: {start}"), told.err
    assert [word for word in words if word not in told.err] == [], told.err
    assert len(told.err.splitlines()) == 1, told.err


# What is made


def test_what_was_asked_for_and_what_the_node_can(lab: RealLab) -> None:
    options = "--memory 160M --size 2G --timezone Asia/Kolkata --vcpus 1"
    told = mclu(lab, "boot", "tiny", "web", *options.split())
    assert (told.status, told.out, told.err) == (0, "ham0:web running\n", "")
    about = dict(line.split(":", 1) for line in virsh(lab, "ham0", "dominfo", "web").splitlines() if ":" in line)
    wanted = {"Persistent": "yes", "State": "running", "CPU(s)": "1", "Max memory": f"{160 << 10} KiB"}
    assert {key: about[key].strip() for key in wanted} == wanted
    files = sh(lab, "ham0", f"echo {IMAGES}/*").split()
    assert '"virtual-size": 2147483648' in sh(lab, "ham0", f"qemu-img info -U --output=json {IMAGES}/web.qcow2")
    assert "etc/localtime" in sh(lab, "ham0", f"gzip -dc {IMAGES}/web.qcow2.initrd | busybox cpio -t 2>/dev/null")
    domain = ET.fromstring(virsh(lab, "ham0", "dumpxml", "--inactive", "web"))
    note = domain.find("./metadata/{urn:mclu:1}guest")
    assert note is not None
    assert [(child.tag.partition("}")[2], child.text) for child in note if "created" not in child.tag] == [
        ("template", "tiny"),
        *(("file", file) for file in files),
        ("log", "/var/log/libvirt/qemu/web.serial"),
    ]
    can = ET.fromstring(virsh(lab, "ham0", "domcapabilities", "--virttype", domain.get("type", ""), "--machine", "q35"))
    assert domain.findtext("./devices/emulator") == can.findtext("path")
    assert domain.find("./os/type[@machine='" + can.findtext("machine", "") + "']") is not None
    graphics = domain.find("./devices/graphics")
    assert graphics is not None
    assert graphics.get("listen") == "127.0.0.1"
    assert domain.find("./devices/channel/target[@name='org.qemu.guest_agent.0']") is not None
    assert domain.find("./devices/serial[@type='pty']/target[@type='isa-serial']") is not None
    assert domain.find("./devices/disk/target[@bus='virtio']") is not None
    assert domain.find("./devices/interface/model[@type='virtio']") is not None
    assert sh(lab, "ham0", f"ls -A /tmp; ls -A {IMAGES}/*") == "\n".join(files) + "\n"


def test_defaults(lab: RealLab) -> None:
    told = mclu(lab, "boot", "quick", "web")
    assert (told.status, told.out) == (0, "ham0:web running\n"), told
    about = virsh(lab, "ham0", "dominfo", "web")
    cpus = re.search(r"^CPU\(s\): +(\d+)", virsh(lab, "ham0", "nodeinfo"), re.MULTILINE)
    assert cpus
    assert re.search(rf"^CPU\(s\): +{min(4, int(cpus[1]))}$", about, re.MULTILINE)
    assert re.search(rf"^Max memory: +{32 << 10} KiB$", about, re.MULTILINE)


def test_the_first_node_that_has_room(lab: RealLab) -> None:
    total = re.search(r"^total *: *(\d+) KiB", virsh(lab, "ham0", "nodememstats"), re.MULTILINE)
    assert total
    # It may use all but one gigabyte, and does not.
    run_guest(lab, "ham0", "big", memory_mib=(int(total[1]) >> 10) - 1024)
    assert mclu(lab, "boot", "quick", "web", "--memory", "1.5G").out == "ham1:web running\n"
    complains(mclu(lab, "boot", "quick", "ham0:db", "--memory", "1.5G"), "ham0: 1.5G of memory wanted, ")
    assert mclu(lab, "boot", "quick", "db").out == "ham0:db running\n"


def test_buses_that_a_template_asks_for(lab: RealLab, templates: Path) -> None:
    seed = f'{BUILD}; truncate -s 64K "$output.seed"'
    template(templates, "old", build=seed, disk_bus="echo ide", network_model="echo e1000")
    template(templates, "scsi", build=seed, disk_bus="echo virtio-scsi")
    old, scsi = at_once(lab, "boot old ham0:old", "boot scsi ham1:scsi")
    assert (old.out, scsi.out) == ("ham0:old running\n", "ham1:scsi running\n"), (old, scsi)
    assert _buses_and_models(lab, "ham0", "old") == ["ide", "ide", "e1000"]
    assert _buses_and_models(lab, "ham1", "scsi") == ["scsi", "sata", "virtio"]


def test_disks_can_be_added_while_it_runs(lab: RealLab) -> None:
    assert mclu(lab, "boot", "quick", "web").out == "ham0:web running\n"
    for letter in "bcdef":
        disk = f"/tmp/more-{letter}.img"
        sh(lab, "ham0", f"truncate -s 1M {disk}; virsh -q attach-disk web {disk} vd{letter}")


def _buses_and_models(lab: RealLab, node: str, name: str) -> list[str | None]:
    devices = ET.fromstring(virsh(lab, node, "dumpxml", name))
    buses = [target.get("bus") for target in devices.findall("./devices/disk/target")]
    return buses + [model.get("type") for model in devices.findall("./devices/interface/model")]


# A template's own XML

OWN_XML = """cat <<END
<domain type='qemu'><name>${{called:-$name}}</name>{more}<memory unit='KiB'>$memory_kb</memory><vcpu>$vcpus</vcpu>
<os><type>hvm</type></os><devices>{device}
<disk type='file'><driver name='qemu' type='$format'/><source file='$output'/><target dev='vda' bus='$disk_bus'/></disk>
<interface type='user'><mac address='$mac_addr'/></interface></devices>
</domain>
END"""


def test_a_guest_by_its_own_xml(lab: RealLab, templates: Path) -> None:
    virsh(lab, "ham0", "define", describe_guest(lab, "ham0", "model"))
    # As if copied from another guest of mclu's, with all that tells them apart.
    model = uuid(lab, "ham0", "model")
    note = f"<m:guest xmlns:m='urn:mclu:1' uuid='{model}'><m:file>/tmp/model.xml</m:file></m:guest>"
    more = f"<uuid>{model}</uuid><title>odd</title><metadata>{note}</metadata>"
    template(templates, "odd", xml=OWN_XML.format(more=more, device="<watchdog model='i6300esb'/>"))
    assert mclu(lab, "boot", "odd", "web", "--memory", "48M", "--vcpus", "1").out == "ham0:web running\n"
    xml = virsh(lab, "ham0", "dumpxml", "web")
    assert "<title>odd</title>" in xml
    assert "<watchdog " in xml
    assert re.findall("<mclu:file>(.*)</mclu:file>", xml) == [f"{IMAGES}/web.qcow2"]
    assert mclu(lab, "destroy", "web").out == "ham0:web destroyed\n"
    assert sh(lab, "ham0", "ls /tmp").split() == ["model.xml"]
    assert states(lab, "ham0") == {"model": "shut off"}


@pytest.mark.parametrize(
    ("xml", "complaint"),
    [
        ("echo '<domain'", "bad: its xml is not XML (unclosed token: line 1, column 0)"),
        ("echo '<network/>'", "bad: its xml is a <network>, not a <domain>"),
        ("called=model\n" + OWN_XML.format(more="", device=""), "bad: its xml names 'model', not 'web'"),
        ("echo broken >&2; exit 1", "bad: xml: exit status 1 ('broken')"),
    ],
)
def test_xml_that_is_none_is_told_before_anything_is_made(
    lab: RealLab, templates: Path, xml: str, complaint: str
) -> None:
    template(templates, "bad", build="touch /tmp/built", xml=xml)
    virsh(lab, "ham0", "define", describe_guest(lab, "ham0", "model"))
    before = traces(lab, "ham0")
    complains(mclu(lab, "boot", "bad", "web"), complaint)
    assert traces(lab, "ham0") == before


# What is refused before anything is made

BAD_NAMES = [
    "a b", "a'b", 'a"b', "$(touch /tmp/owned)", "`id`", "a;b", "../web", "..", ".hidden", "a/b", "wüb", "web\n", "",
    "x" * 300, "x" * 64, "web.qcow2", "web.qcow2.kernel", "a\x1b[2J", "ham0:", "ham0:-x", "ham*:web", "web*",
]  # fmt: skip


def test_bad_names(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda name: mclu(lab, "boot", "quick", "--", name), BAD_NAMES))
    for told in answers:
        complains(told, "boot: argument [HOST:]NAME: bad n", status=2)
    complains(mclu(lab, "boot", "quick", "-x"), "boot: ", "help boot", status=2)
    assert traces(lab, "ham0") == before


BAD_OPTIONS = {
    "--size 0": "boot: argument --size: bad size '0': it must be more than nothing",
    "--size -1": "boot: argument --size: bad size '-1'",
    "--size=-1G": "boot: argument --size: bad size '-1G'",
    "--size 1": "a disk of 1 byte is too small: tiny needs 1.0M",
    "--size 999999T": "a disk of 976.6P is too large: at most 64.0T",
    "--memory 0": "boot: argument --memory: bad size '0'",
    "--memory 1": "1 byte of memory is too little: tiny needs 96.0M",
    "--memory 95M": "95.0M of memory is too little: tiny needs 96.0M",
    "--memory 999999T": "no node has 976.6P of memory free; ham",
    "--vcpus 0": "boot: argument --vcpus: bad number",
    "--vcpus 4000": "4000 virtual CPUs are too many: pc-q35-",
    "--timezone ../../etc/passwd": "boot: argument --timezone: bad time zone",
    "--timezone $(id)": "boot: argument --timezone: bad time zone",
}


def test_bad_options(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda options: mclu(lab, "boot", "tiny", "web", *options.split()), BAD_OPTIONS)
    for told, complaint in zip(answers, BAD_OPTIONS.values(), strict=True):
        complains(told, complaint, status=2 if "argument" in complaint or "too" in complaint else 1)
    assert traces(lab, "ham0") == before


def test_bad_templates(lab: RealLab, templates: Path) -> None:
    template(templates, "evil")
    path = templates / "evil.template"
    path.write_text(path.read_text().replace("echo nothing", "echo '$(touch /tmp/owned)'"))
    template(templates, "mute")
    path = templates / "mute.template"
    path.write_text(path.read_text().replace("echo hello", "true"))
    before = traces(lab, "ham0")
    evil, mute, none = at_once(lab, "boot evil web", "boot mute web", "boot ../quick web")
    complains(evil, "evil: base-image: not the name of an image: ", "touch")
    complains(mute, "mute: its 'probe' does not say hello")
    complains(none, "no such template '../quick'")
    assert traces(lab, "ham0") == before


def test_nodes_that_are_off_or_not_there(lab: RealLab) -> None:
    off, none = at_once(lab, "boot quick ham3:web", "boot quick ham9:web")
    complains(off, "ham3: is off")
    complains(none, "no such node 'ham9'")
    lab.off("ham0", "ham1")
    complains(mclu(lab, "boot", "quick", "web"), "no node is on", "on NODE")


def test_a_name_that_is_taken(lab: RealLab) -> None:
    virsh(lab, "ham1", "define", describe_guest(lab, "ham1", "web"))
    before = traces(lab, "ham0")
    anywhere, here = at_once(lab, "boot quick web", "boot quick ham0:web")
    for told in (anywhere, here):
        complains(told, "ham1: there is a guest 'web' already")
    assert traces(lab, "ham0") == before
    virsh(lab, "ham0", "define", describe_guest(lab, "ham0", "web"))
    complains(mclu(lab, "boot", "quick", "web"), "ham0: there is a guest 'web' already")


def test_what_a_build_notes_stands_below_the_answer(lab: RealLab, templates: Path) -> None:
    template(
        templates, "noting", build=f"echo note; printf 'note: it is \\033[2Jsecret\\r\\n'; {BUILD}; printf 'note: last'"
    )
    told = mclu(lab, "boot", "noting", "web")
    assert (told.status, told.err) == (0, "")
    assert told.out == "ham0:web running\n  it is  [2Jsecret\n  last\n"
    told = mclu(lab, "-c", "boot noting db; destroy db")
    assert told.out.startswith("ham0:db running\n  it is  [2Jsecret\n  last\nham0:db destroyed\n"), told


def test_only_so_many_notes_are_shown(lab: RealLab, templates: Path) -> None:
    template(templates, "noting", build=f"for i in $(seq 23); do echo note: $i; done; {BUILD}")
    assert mclu(lab, "boot", "noting", "web").out.endswith("\n  19\n  20\n  (3 more notes)\n")


@pytest.mark.parametrize("name", ["web.qcow2", "web.qcow2.kernel"])
def test_a_file_that_is_there_is_never_touched(lab: RealLab, name: str) -> None:
    sh(lab, "ham0", f"echo precious >{IMAGES}/{name}; ln -s /tmp/nowhere {IMAGES}/db.qcow2")
    before = traces(lab, "ham0")
    complains(mclu(lab, "boot", "quick", "web"), f"ham0: nothing was built: {IMAGES}/{name} is there already")
    complains(mclu(lab, "boot", "quick", "db"), f"ham0: nothing was built: {IMAGES}/db.qcow2 is there already")
    assert traces(lab, "ham0") == before
    assert sh(lab, "ham0", f"cat {IMAGES}/{name}") == "precious\n"


def test_a_directory_of_images_that_is_not_there(lab: RealLab) -> None:
    sh(lab, "ham0", f"mv {IMAGES} {IMAGES}.away")
    try:
        complains(mclu(lab, "boot", "quick", "web"), f"ham0: nothing was built: cannot write to {IMAGES}")
        # It hinders no other node.
        told = mclu(lab, "boot", "quick", "ham1:web")
        assert told.out == "ham1:web running\n", told
        lab.off("ham1")
        complains(mclu(lab, "boot", "quick", "db"), f"ham0: cannot write to {IMAGES}", "images=")
    finally:
        sh(lab, "ham0", f"mv {IMAGES}.away {IMAGES}")


def test_a_node_without_flock(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    flock = sh(lab, "ham0", "command -v flock").strip()
    sh(lab, "ham0", f"mount --bind /dev/null {flock}")
    try:
        complains(
            mclu(lab, "boot", "quick", "web"), "ham0: nothing was built: there is no flock on this node: install "
        )
        lab.off("ham1")
        complains(mclu(lab, "boot", "quick", "web"), "ham0: there is no flock on this node", "util-linux")
    finally:
        sh(lab, "ham0", f"umount {flock}")
    assert traces(lab, "ham0") == before


def test_without_a_console_nothing_is_made(lab: RealLab, templates: Path) -> None:
    template(templates, "mute", xml=OWN_XML.format(more="", device=""))
    before = traces(lab, "ham0")
    complains(mclu(lab, "boot", "mute", "web", "--console"), "ham0: the guest would have no console; boot it without")
    assert traces(lab, "ham0") == before


def test_a_node_that_cannot_be_asked_is_told_and_one_that_is_off_is_not(lab: RealLab) -> None:
    lab.freeze("ham1", libvirtd=True)
    try:
        told = mclu(lab, "boot", "quick", "web")
    finally:
        lab.thaw("ham1", libvirtd=True)
    assert (told.status, told.out) == (0, "ham0:web running\n")
    assert told.err == "mclu: ham1: was not asked whether it has a guest 'web', too: libvirtd not answering\n"


# What fails on the way


def test_a_directory_that_a_build_made_beside_the_disk_goes_with_it(lab: RealLab, templates: Path) -> None:
    template(templates, "bad", build=f'{BUILD}; mkdir -p "$output.d/deep"')
    before = traces(lab, "ham0")
    told = mclu(lab, "boot", "bad", "web")
    complains(told, f"ham0: the build made {IMAGES}/web.qcow2.d, which is no file", "removed", "the directory that")
    assert traces(lab, "ham0") == before


@pytest.mark.parametrize("status", [0, 3])
def test_a_build_need_not_end_its_last_line(lab: RealLab, templates: Path, status: int) -> None:
    template(templates, "hasty", build=f"{BUILD}; printf 'done 100%%'; exit {status}")
    told = mclu(lab, "boot", "hasty", "web")
    if status:
        assert told.err.endswith(
            "failed with exit status 3, and what it made was removed. It said last:\n  done 100%\n"
        )
        return
    assert told.out == "ham0:web running\n"
    assert re.findall("<mclu:file>(.*)</mclu:file>", virsh(lab, "ham0", "dumpxml", "web")) == [f"{IMAGES}/web.qcow2"]


def test_a_directory_of_images_that_is_full(lab: RealLab) -> None:
    """What a boot leaves there must not be taken for a sign that a disk is not the user's."""
    fill = f"head -c 1M /dev/zero >{IMAGES}/full"
    sh(lab, "ham0", f"mount -t tmpfs -o size=64K none {IMAGES}; {fill} || true")
    for _ in range(4):
        told = mclu(lab, "boot", "quick", "web")
        assert (told.status, told.out) == (1, "")
        assert "No space left on device" in told.err, told.err
        assert images(lab, "ham0") == ["full"]
    sh(lab, "ham0", f"rm {IMAGES}/full; echo precious >{IMAGES}/web.qcow2")
    complains(mclu(lab, "boot", "quick", "web"), f"ham0: nothing was built: {IMAGES}/web.qcow2 is there already")
    assert sh(lab, "ham0", f"cat {IMAGES}/web.qcow2") == "precious\n"


def test_a_temporary_directory_that_is_full(lab: RealLab) -> None:
    sh(lab, "ham0", "mount -t tmpfs -o size=4K none /tmp; head -c 1M /dev/zero >/tmp/full || true")
    try:
        for _ in range(4):
            complains(mclu(lab, "boot", "quick", "web"), "ham0: nothing was built: the template did not arrive whole")
    finally:
        sh(lab, "ham0", "umount /tmp")
    assert images(lab, "ham0") == []


def test_a_build_that_fails(lab: RealLab, templates: Path) -> None:
    # What it has started goes on by itself, and does not listen.
    build = f"{BUILD}\n(trap '' TERM HUP; exec sleep 1000) &\necho 'step one'; echo 'no such luck' >&2; exit 3"
    template(templates, "bad", build=build)
    before = traces(lab, "ham0")
    told = mclu(lab, "boot", "bad", "web")
    assert (told.status, told.out) == (1, "")
    assert told.err == (
        "mclu: ham0: the build failed with exit status 3, and what it made was removed. It said last:\n"
        "  step one\n  no such luck\n"
    )
    until(lambda: traces(lab, "ham0") == before)


def test_a_build_that_makes_no_disk(lab: RealLab, templates: Path) -> None:
    template(templates, "bad", build='echo >"$output.more"')
    before = traces(lab, "ham0")
    complains(mclu(lab, "boot", "bad", "web"), f"ham0: the build made no disk; it has to make $output: {IMAGES}/web.")
    assert traces(lab, "ham0") == before
    # Its own description may need none.
    xml = OWN_XML.format(more="", device="")
    template(templates, "odd", build="true", xml="\n".join(line for line in xml.splitlines() if "<disk" not in line))
    assert mclu(lab, "boot", "odd", "web").out == "ham0:web running\n"


def test_a_disk_that_gets_full(lab: RealLab) -> None:
    sh(lab, "ham0", f"mount -t tmpfs -o size=4M none {IMAGES}")
    told = mclu(lab, "boot", "tiny", "web")
    assert (told.status, told.out) == (1, "")
    assert told.err.startswith("mclu: ham0: the build failed with exit status 1, and what it made was removed.")
    assert "No space left on device" in told.err
    assert images(lab, "ham0") == []
    assert states(lab, "ham0") == {}


REFUSED = {
    "defined": "<no-such-element/>",
    "started": "<disk type='file'><source file='/tmp/nowhere'/><target dev='vdb'/></disk>",
}


@pytest.mark.parametrize("step", REFUSED)
def test_what_libvirt_refuses(lab: RealLab, templates: Path, step: str) -> None:
    template(templates, "bad", xml=OWN_XML.format(more="", device=REFUSED[step]))
    before = traces(lab, "ham0")
    complains(mclu(lab, "boot", "bad", "web"), f"ham0: the guest could not be {step}: libvirt: ")
    assert traces(lab, "ham0") == before


def test_a_guest_that_somebody_defines_during_the_build_is_left_alone(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")
    description = describe_guest(lab, "ham0", "web")
    with started(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        virsh(lab, "ham0", "define", description)
        virsh(lab, "ham0", "start", "web")
        open_gate(lab, "ham0")
        _, err = command.communicate(timeout=30)
    assert command.returncode == 1
    assert "the guest could not be defined: libvirt: " in err
    assert states(lab, "ham0") == {"web": "running"}
    assert images(lab, "ham0") == []


LIBVIRTD = "$(cat /run/libvirtd.pid)"


def test_a_libvirtd_that_dies_during_the_build(lab: RealLab, templates: Path) -> None:
    template(templates, "deadly", build=f"{BUILD}\nkill -KILL {LIBVIRTD}; tail --pid={LIBVIRTD} -f /dev/null")
    try:
        told = mclu(lab, "boot", "deadly", "web")
        complains(told, "ham0: the guest could not be defined: ", "libvirtd", "'destroy ham0:web'")
        until(lambda: images(lab, "ham0") == [])
        assert sh(lab, "ham0", "ls -A /tmp") == ""
    finally:
        lab.off("ham0")


MAY_BE_LEFT = f"if it still runs, it removes what was made; if its power went, {IMAGES}/web.qcow2 may be left there"


def test_a_node_that_is_switched_off_during_the_build(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f'{BUILD}\ntouch "$output.more"\n{WAIT}')
    with started(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        lab.off("ham0")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out) == (1, "")
    assert err == f"mclu: ham0: the connection was lost during the build; {MAY_BE_LEFT}\n"
    lab.on("ham0")
    # Nobody could remove what was there when the power went. Whether it is what that boot has made, or what its user
    # has made by hand since then, nobody can tell: it is for the user to remove.
    left = ["web.qcow2", "web.qcow2.more"]
    told = mclu(lab, "boot", "quick", "web")
    complains(told, f"ham0: nothing was built: {IMAGES}/web.qcow2 is there already; if no guest needs it", "remove it")
    assert [name for name in images(lab, "ham0") if not name.startswith(".")] == left
    sh(lab, "ham0", f"cd {IMAGES}; rm {' '.join(left)}")
    assert mclu(lab, "boot", "quick", "web").out == "ham0:web running\n"


def test_what_boots_that_were_cut_off_have_left(lab: RealLab, templates: Path) -> None:
    """Names that are mclu's alone are swept away once nobody holds them; what may be a user's never is."""
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")
    left = ".mclu-old.booting .mclu-old.building"
    kept = "mine.qcow2 mine.qcow2.unfinished old.qcow2 old.qcow2.claim old.booting"
    with started(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        held = [".mclu-web.booting", ".mclu-web.building"]
        assert images(lab, "ham0") == held
        script = f"cd {IMAGES}; touch {left} {kept}; echo mclu >mine.qcow2.unfinished; touch -d '1 hour ago' .mclu-* *"
        sh(lab, "ham0", script)
        assert mclu(lab, "boot", "quick", "db").out == "ham0:db running\n"
        assert images(lab, "ham0") == sorted(["db.qcow2", *held, *kept.split()])
        open_gate(lab, "ham0")
        assert command.wait(30) == 0
    assert images(lab, "ham0") == sorted(["db.qcow2", "web.qcow2", *kept.split()])


def test_a_node_that_freezes_during_the_build(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with started(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        lab.freeze("ham0")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out) == (1, "")
    assert err == f"mclu: ham0: the connection was lost during the build; {MAY_BE_LEFT}\n"
    lab.thaw("ham0")
    until(lambda: traces(lab, "ham0") == before)


# Interruptions


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "KILL"])
def test_a_signal_during_the_build(lab: RealLab, templates: Path, name: str) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with started(lab, "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        send(command, name)
        out, err = command.communicate(timeout=30)
    assert (out, err) == ("", INTERRUPTED if name == "INT" else "")
    if name == "INT":
        assert command.returncode == 130
        assert traces(lab, "ham0") == before
    # The others end what entered the lab for mclu, too, which then is not waited for.
    until(lambda: traces(lab, "ham0") == before)


def test_ctrl_c_twice_on_a_build_that_does_not_listen(lab: RealLab, templates: Path) -> None:
    template(templates, "deaf", build=f"trap '' TERM INT HUP\n{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with started(lab, "boot", "deaf", "web") as command:
        wait_for_gate(lab, "ham0")
        send(command, "INT")
        until(lambda: "sleep 5" in sh(lab, "ham0", "ps axww -o args"))
        send(command, "INT")
        _, err = command.communicate(timeout=3)
    assert command.returncode == 130
    assert err == f"mclu: ham0: interrupted, and it has not said that it cleaned up; {MAY_BE_LEFT}\n"
    until(lambda: traces(lab, "ham0") == before)


def test_ctrl_c_while_the_node_is_frozen(lab: RealLab, templates: Path) -> None:
    """Nobody has said that anything is removed, so nobody is told that it is."""
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    before = traces(lab, "ham0")
    with typed(lab, "mclu", "boot", "slow", "web") as command:
        wait_for_gate(lab, "ham0")
        lab.freeze("ham0")
        command.type(CTRL_C)
        command.expect("waiting for ham0 to clean up")
        assert command.end() == 130
    assert f"mclu: ham0: interrupted, and it has not said that it cleaned up; {MAY_BE_LEFT}\r\n" in command.said
    lab.thaw("ham0")
    until(lambda: traces(lab, "ham0") == before)


# The step after which a signal comes, as an attribute of a module that does it.
STEPS = {
    "the definition": ("hypervisor", "Hypervisor", "define"),
    "the word to keep it": ("build", "Build", "keep"),
    "the start": ("node", "Node", "change_guest"),
}
BOOT_WITH_A_SIGNAL = """
import importlib, os, sys
module, kind, method, *numbers = sys.argv[1:]
found = getattr(importlib.import_module(f"mclu_shell.cloud.{module}"), kind)
do = getattr(found, method)
def do_and_signal(self, *args):
    do(self, *args)
    number = int(numbers.pop(0))
    if not numbers:
        setattr(found, method, do)
    os.kill(os.getpid(), number)
setattr(found, method, do_and_signal)
from mclu_shell.cli import main
sys.exit(main(["boot", "quick", "web"]))
"""


INTERRUPTED = "mclu: ham0: interrupted, and what was made there is removed\n"


@pytest.mark.parametrize("step", STEPS)
def test_ctrl_c_after(lab: RealLab, step: str) -> None:
    before = traces(lab, "ham0")
    done = lab.run(sys.executable, "-c", BOOT_WITH_A_SIGNAL, *STEPS[step], "2")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", INTERRUPTED)
    assert traces(lab, "ham0") == before


@pytest.mark.parametrize("number", [1, 2, 15])
def test_a_second_signal_while_the_guest_is_taken_back(lab: RealLab, number: int) -> None:
    """The start is a change of the guest, and so is that it is stopped again."""
    before = traces(lab, "ham0")
    done = lab.run(sys.executable, "-c", BOOT_WITH_A_SIGNAL, *STEPS["the start"], "1", str(number))
    assert (done.returncode, done.stderr) == (129, "")
    assert traces(lab, "ham0") == before


def test_killed_after_the_definition(lab: RealLab) -> None:
    before = traces(lab, "ham0")
    done = lab.run(sys.executable, "-c", BOOT_WITH_A_SIGNAL, *STEPS["the definition"], "9")
    assert done.returncode == -9
    until(lambda: traces(lab, "ham0") == before)


def test_ctrl_c_while_libvirtd_does_not_answer(lab: RealLab, templates: Path) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}\nkill -STOP {LIBVIRTD}; mkfifo /tmp/stopped")
    before = traces(lab, "ham0")
    with started(lab, "boot", "slow", "web") as command:
        open_gate(lab, "ham0")
        until(lambda: "stopped" in sh(lab, "ham0", "ls /tmp"))
        send(command, "INT")
        sh(lab, "ham0", f"rm /tmp/stopped; kill -CONT {LIBVIRTD}")
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out, err) == (130, "", INTERRUPTED)
    assert traces(lab, "ham0") == before


# Two at once


def test_of_two_boots_of_one_name_exactly_one_wins(lab: RealLab) -> None:
    one, other = sorted(at_once(lab, "boot quick ham0:web", "boot quick ham1:web"), key=lambda told: told.status)
    assert one.status == 0, one
    complains(other, "", "web")
    winner, loser = ("ham0", "ham1") if one.out.startswith("ham0") else ("ham1", "ham0")
    assert (states(lab, winner), states(lab, loser)) == ({"web": "running"}, {})
    assert (images(lab, winner), images(lab, loser)) == (["web.qcow2"], [])


@pytest.mark.parametrize("node", ["ham0", "ham1"])
def test_the_one_who_comes_late_leaves_the_disk_of_the_first_alone(lab: RealLab, templates: Path, node: str) -> None:
    template(templates, "slow", build=f"{BUILD}\n{WAIT}")
    with started(lab, "boot", "slow", f"{node}:web") as command:
        wait_for_gate(lab, node)
        before = {at: traces(lab, at) for at in ("ham0", "ham1")}
        late = [mclu(lab, "boot", "quick", name) for name in ("web", "ham1:web")]
        for told in late:
            complains(told, "somebody else is booting a guest called 'web' at this moment")
        assert {at: traces(lab, at) for at in ("ham0", "ham1")} == before
        open_gate(lab, node)
        out, err = command.communicate(timeout=30)
    assert (command.returncode, out, err) == (0, f"{node}:web running\n", "")
    assert images(lab, node) == ["web.qcow2"]


def test_two_names_at_once(lab: RealLab) -> None:
    one, other = at_once(lab, "boot quick web", "boot quick db")
    assert (one.out, other.out) == ("ham0:web running\n", "ham0:db running\n"), (one, other)


def boot_twice(lab: RealLab, config: Path, elsewhere: str) -> list[Told]:
    """Boot a guest on ham0, and, while that is built, one of its name with another configuration."""
    with started(lab, "boot", "slow", "ham0:web") as one:
        wait_for_gate(lab, "ham0")
        with started(lab, "-f", str(config), "boot", "slow", elsewhere) as two:
            until(lambda: two.poll() is not None or sh(lab, "ham1", "find /tmp -name gate"))
            if two.poll() is None:
                open_gate(lab, "ham1")
            open_gate(lab, "ham0")
            return [Told(command.wait(30), *command.communicate(), 0) for command in (one, two)]


def exactly_one(lab: RealLab, *answers: Told) -> None:
    """Assert that one of two boots of web made it, on one node, and that nothing is left of the other."""
    made, failed = sorted(answers, key=lambda told: told.status)
    assert made.status == 0, answers
    complains(failed, "", "web")
    found = [(states(lab, node), images(lab, node)) for node in ("ham0", "ham1")]
    assert sorted(found, key=str) == [({"web": "running"}, ["web.qcow2"]), ({}, [])], answers


def test_a_configuration_that_lists_the_nodes_in_another_order(lab: RealLab, templates: Path, tmp_path: Path) -> None:
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")
    general, mark, nodes = (lab.path / "mclu.conf").read_text().partition("[nodes]\n")
    (tmp_path / "other.conf").write_text(general + mark + "\n".join(reversed(nodes.splitlines())) + "\n")
    exactly_one(lab, *boot_twice(lab, tmp_path / "other.conf", "ham1:web"))


def test_a_configuration_that_calls_the_nodes_by_other_names(lab: RealLab, templates: Path, tmp_path: Path) -> None:
    """So the name is held on two nodes, and only the guests themselves tell."""
    template(templates, "slow", build=f"{WAIT}\n{BUILD}")
    general, mark, _ = (lab.path / "mclu.conf").read_text().partition("[nodes]\n")
    (tmp_path / "other.conf").write_text(f"{general}{mark}a address=ham1\nb address=ham0\n")
    exactly_one(lab, *boot_twice(lab, tmp_path / "other.conf", "a:web"))
