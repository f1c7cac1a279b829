"""boot on real nodes: the guests, disks and definitions that it makes."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.lab.support.boot import OWN_XML, assert_error
from tests.lab.support.cli import describe_guest, mclu, mclu_parallel, run_guest, virsh
from tests.lab.support.guests import BUILD, IMAGES, sh, states, template, traces, uuid
from tests.lab.support.lab import RealLab

pytestmark = [pytest.mark.lab(on=["ham0", "ham1"]), pytest.mark.usefixtures("templates")]


def test_boot_makes_a_guest_from_the_options_and_the_capabilities_of_the_node(lab: RealLab) -> None:
    options = "--memory 160M --size 2G --timezone Asia/Kolkata --vcpus 1"
    result = mclu(lab, "boot", "tiny", "web", *options.split())
    assert (result.status, result.out, result.err) == (0, "ham0:web running\n", "")
    info = dict(line.split(":", 1) for line in virsh(lab, "ham0", "dominfo", "web").splitlines() if ":" in line)
    expected = {"Persistent": "yes", "State": "running", "CPU(s)": "1", "Max memory": f"{160 << 10} KiB"}
    assert {key: info[key].strip() for key in expected} == expected
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


def test_boot_without_options_uses_the_recommended_memory_and_up_to_4_vcpus(lab: RealLab) -> None:
    result = mclu(lab, "boot", "quick", "web")
    assert (result.status, result.out) == (0, "ham0:web running\n"), result
    about = virsh(lab, "ham0", "dominfo", "web")
    cpus = re.search(r"^CPU\(s\): +(\d+)", virsh(lab, "ham0", "nodeinfo"), re.MULTILINE)
    assert cpus
    assert re.search(rf"^CPU\(s\): +{min(4, int(cpus[1]))}$", about, re.MULTILINE)
    assert re.search(rf"^Max memory: +{32 << 10} KiB$", about, re.MULTILINE)


def test_boot_chooses_the_first_node_with_enough_memory(lab: RealLab) -> None:
    [status] = json.loads(mclu(lab, "-o", "json", "status", "ham0").out)["nodes"]
    free_mib = status["free_bytes"] >> 20
    # QEMU does not allocate it. The margins are wide because other programs of this machine take and free memory, too.
    run_guest(lab, "ham0", "big", memory_mib=free_mib * 5 // 6)
    memory = f"{free_mib // 3}M"
    assert mclu(lab, "boot", "quick", "web", "--memory", memory).out == "ham1:web running\n"
    result = mclu(lab, "boot", "quick", "ham0:db", "--memory", memory)
    assert_error(result, "ham0: not enough free memory: ")
    assert mclu(lab, "boot", "quick", "db").out == "ham0:db running\n"


def test_boot_uses_the_buses_of_the_template(lab: RealLab, templates: Path) -> None:
    seed = f'{BUILD}; truncate -s 64K "$output.seed"'
    template(templates, "old", build=seed, disk_bus="echo ide", network_model="echo e1000")
    template(templates, "scsi", build=seed, disk_bus="echo virtio-scsi")
    old, scsi = mclu_parallel(lab, "boot old ham0:old", "boot scsi ham1:scsi")
    assert (old.out, scsi.out) == ("ham0:old running\n", "ham1:scsi running\n"), (old, scsi)
    assert _buses_and_models(lab, "ham0", "old") == ["ide", "ide", "e1000"]
    assert _buses_and_models(lab, "ham1", "scsi") == ["scsi", "scsi", "virtio"]


def test_disks_can_be_attached_to_a_running_guest(lab: RealLab) -> None:
    assert mclu(lab, "boot", "quick", "web").out == "ham0:web running\n"
    for letter in "bcdef":
        disk = f"/tmp/more-{letter}.img"
        sh(lab, "ham0", f"truncate -s 1M {disk}; virsh -q attach-disk web {disk} vd{letter}")


def _buses_and_models(lab: RealLab, node: str, name: str) -> list[str | None]:
    devices = ET.fromstring(virsh(lab, node, "dumpxml", name))
    buses = [target.get("bus") for target in devices.findall("./devices/disk/target")]
    return buses + [model.get("type") for model in devices.findall("./devices/interface/model")]


# A template's own XML


def test_boot_defines_a_guest_from_the_xml_of_its_template(lab: RealLab, templates: Path) -> None:
    virsh(lab, "ham0", "define", describe_guest(lab, "ham0", "model"))
    # As if copied from another guest of mclu, with its UUID and its files.
    model = uuid(lab, "ham0", "model")
    note = f"<m:guest xmlns:m='urn:mclu:1' uuid='{model}'><m:file>/tmp/model.xml</m:file></m:guest>"
    more = f"<uuid>{model}</uuid><title>odd</title><metadata>{note}</metadata>"
    template(templates, "odd", xml=OWN_XML.format(more=more, device="<watchdog model='i6300esb'/>"))
    assert mclu(lab, "boot", "odd", "web", "--memory", "48M", "--vcpus", "1").out == "ham0:web running\n"
    xml = virsh(lab, "ham0", "dumpxml", "web")
    assert "<title>odd</title>" in xml
    assert "<watchdog " in xml
    assert re.findall("<mclu:file.*>(.*)</mclu:file>", xml) == [f"{IMAGES}/web.qcow2"]
    assert mclu(lab, "destroy", "web").out == "ham0:web destroyed\n"
    assert sh(lab, "ham0", "ls /tmp").split() == ["model.xml"]
    assert states(lab, "ham0") == {"model": "shut off"}


def test_template_check_validates_xml_on_all_nodes_that_are_on(lab: RealLab, templates: Path) -> None:
    template(templates, "odd", xml=OWN_XML.format(more="", device=""))
    before = traces(lab, "ham0")
    checked = mclu(lab, "template", "check", "odd")
    assert checked.status == 0, checked
    nodes = " ".join(checked.lines[-1].split())
    assert nodes.startswith("ok libvirt accepts the xml on ham0")
    lab.off("ham0", "ham1")
    checked = mclu(lab, "template", "check", "odd")
    assert checked.status == 0, checked
    assert checked.lines[-1].endswith("only compared with the schema: no node with QEMU is on")
    lab.on("ham0")
    assert traces(lab, "ham0") == before


@pytest.mark.parametrize(
    ("xml", "complaint"),
    [
        ("echo '<domain'", "bad: its xml is not XML (unclosed token: line 1, column 0)"),
        ("echo '<network/>'", "bad: its xml is a <network>, not a <domain>"),
        ("called=model\n" + OWN_XML.format(more="", device=""), "bad: its xml names 'model', not 'web'"),
        ("echo broken >&2; exit 1", "bad: xml: exit status 1 ('broken')"),
        # dash exits with status 2 for an unset variable, and ls for a missing file.
        (OWN_XML.format(more="$unset", device=""), "bad: xml: exit status 2 ("),
        ("ls /nowhere", 'bad: xml: exit status 2 ("ls: cannot access'),
        (
            OWN_XML.format(more="<memroy/>", device=""),
            "bad: libvirt on ham0 refuses its xml: does not match libvirt's schema: "
            "Element domain has extra content: memr",
        ),
        (
            OWN_XML.format(more="", device="<video><model type='nosuch'/></video>"),
            "bad: libvirt on ham0 refuses its xml: unsupported configuration: unknown video model 'nosuch'",
        ),
        (
            OWN_XML.format(more="<cpu mode='custom'><model>Nosuch</model></cpu>", device=""),
            "bad: libvirt on ham0 refuses its xml: internal error: Unknown CPU model Nosuch",
        ),
    ],
)
def test_boot_refuses_bad_xml_before_building(lab: RealLab, templates: Path, xml: str, complaint: str) -> None:
    template(templates, "bad", build="touch /tmp/built", xml=xml)
    virsh(lab, "ham0", "define", describe_guest(lab, "ham0", "model"))
    before = traces(lab, "ham0")
    assert_error(mclu(lab, "boot", "bad", "web"), complaint)
    assert_error(mclu(lab, "-n", "boot", "bad", "web"), complaint)
    checked = mclu(lab, "template", "check", "bad")
    assert checked.status == 1
    assert "\nnot ok  " in checked.out
    assert traces(lab, "ham0") == before
