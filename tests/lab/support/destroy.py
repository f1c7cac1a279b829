"""Functions and constants of the tests of destroy."""

import re

from tests.lab.support.cli import Result, mclu
from tests.lab.support.guests import IMAGES, sh
from tests.lab.support.lab import RealLab

DISK, SEED, KERNEL = (f"{IMAGES}/web.qcow2{suffix}" for suffix in ("", ".seed", ".kernel"))
DEFINE = """cat >/tmp/db.xml <<END
<domain type='qemu'><name>db</name><memory unit='MiB'>32</memory><os><type>hvm</type>{os}</os>
<features><acpi/></features><devices>{devices}</devices></domain>
END
virsh -q define /tmp/db.xml"""
A_DISK = "<disk type='file'><driver type='{kind}'/><source file='{file}'/><target dev='vda'/></disk>"
A_CD = "<disk device='cdrom' type='file'><source file='{file}'/><target dev='sda' bus='sata'/></disk>"
# Scripts that give the guest web more than its disks.
BELONGINGS = {
    "snapshots": "virsh snapshot-create-as web one; virsh snapshot-create-as web two",
    "a snapshot in files": (
        f"virsh snapshot-create-as web one --memspec file={IMAGES}/web.memory --diskspec vda,snapshot=external"
        " --diskspec vdz,snapshot=no"
    ),
    "checkpoints": "virsh checkpoint-create-as web one; virsh checkpoint-create-as web two",
    "a managed save": "virsh managedsave web",
    "NVRAM": (
        'virsh destroy web; virsh dumpxml --inactive web | sed \'s|</type>|&<loader readonly="yes" type="pflash">'
        "/tmp/firmware</loader><nvram>/var/lib/libvirt/qemu/nvram/web_VARS.fd</nvram>|' >/tmp/web.xml;"
        "virsh define /tmp/web.xml; mkdir -p /var/lib/libvirt/qemu/nvram; touch /var/lib/libvirt/qemu/nvram/web_VARS.fd"
    ),
}


def boot(lab: RealLab, guest: str = "ham0:web", template: str = "quick") -> None:
    """Boot a guest, and assert that it runs."""
    result = mclu(lab, "boot", template, guest)
    assert result.out == f"{guest} running\n", result


def kept_files(result: Result, guest: str = "ham0:web") -> dict[str, str]:
    """Assert that a guest was destroyed, and return the kept files with the reasons."""
    assert (result.status, result.err) == (0, ""), result
    assert result.lines[0] == f"{guest} destroyed"
    kept = [re.fullmatch(r"  kept: (\S+) \((.*)\)", line) for line in result.lines[1:]]
    return {line[1]: line[2] for line in kept if line}


def define_db(lab: RealLab, devices: str = "", os: str = "", before: str = "true") -> None:
    """Define the guest db on ham0 with virsh, after running a script there."""
    sh(lab, "ham0", before + "\n" + DEFINE.format(devices=devices, os=os))


def start_twin(guest_uuid: str) -> str:
    """Return a script that starts a guest with the name web and this UUID on another node."""
    head = f"<domain type='qemu'><name>web</name><uuid>{guest_uuid}</uuid>"
    xml = f"{head}<memory unit='MiB'>32</memory><os><type>hvm</type></os></domain>"
    return f"cat >/tmp/web.xml <<END\n{xml}\nEND\nvirsh -q create /tmp/web.xml"
