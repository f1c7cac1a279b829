"""Two empty nodes and a template, for tests of booting."""

from pathlib import Path

import pytest

from tests.lab.support.cli import Told
from tests.lab.support.guests import (
    IMAGES,
    SHIPPED,
    make_ready,
    template,
)
from tests.lab.support.lab import RealLab

OWN_XML = """cat <<END
<domain type='qemu'><name>${{called:-$name}}</name>{more}<memory unit='KiB'>$memory_kb</memory><vcpu>$vcpus</vcpu>
<os><type>hvm</type></os><devices>{device}
<disk type='file'><driver name='qemu' type='$format'/><source file='$output'/><target dev='vda' bus='$disk_bus'/></disk>
<interface type='user'><mac address='$mac_addr'/></interface></devices>
</domain>
END"""
LIBVIRTD = "$(cat /run/libvirtd.pid)"
MAY_BE_LEFT = f"if it still runs, it removes what was made; if its power went, {IMAGES}/web.qcow2 may be left there"


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
