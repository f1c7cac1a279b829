"""A guest with disks on one of two nodes, and another that may use them, for tests of destroying."""

import re
from pathlib import Path

import pytest

from tests.lab.support.cli import Told, mclu
from tests.lab.support.guests import (
    BUILD,
    IMAGES,
    make_ready,
    sh,
    template,
)
from tests.lab.support.lab import RealLab


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


def start_twin(guest_uuid: str) -> str:
    """Return a script that has the guest web run on another node, too."""
    head = f"<domain type='qemu'><name>web</name><uuid>{guest_uuid}</uuid>"
    xml = f"{head}<memory unit='MiB'>32</memory><os><type>hvm</type></os></domain>"
    return f"cat >/tmp/web.xml <<END\n{xml}\nEND\nvirsh -q create /tmp/web.xml"
