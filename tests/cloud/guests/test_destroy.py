"""Destruction of guests on a node that is this machine."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.guests.destroy import destroy_guests, plan_all
from mclu_shell.cloud.guests.find import find_guests
from mclu_shell.cloud.guests.survey import survey_nodes
from tests.support.mclu import InProcess

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")

UUID = "{}1111111-2222-4333-8444-555555555555"
GUEST = """<domain type="test"><name>{name}</name><uuid>{uuid}</uuid>
<metadata><m:guest xmlns:m="urn:mclu:1" uuid="{uuid}">{made}</m:guest></metadata><memory unit="MiB">64</memory>
<os><type>hvm</type></os>
<devices><disk type='file'><source file='{disk}'/><target dev='vda'/></disk></devices></domain>"""


def define(number: int, disk: Path, made: str = "") -> str:
    return GUEST.format(name=f"web{number}", uuid=UUID.format(number), disk=disk, made=made)


def test_a_guest_defined_after_the_survey_keeps_its_disk(tmp_path: Path, clouds: Callable[..., InProcess]) -> None:
    disks = [tmp_path / f"web{number}.qcow2" for number in range(1, 3)]
    for disk in disks:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "64K"], check=True)
    guests = [define(i, disk, f"<m:file>{disk}</m:file>") for i, disk in enumerate(disks, 1)]
    (tmp_path / "ham0.xml").write_text(f"<node>{''.join(guests)}</node>")
    cloud = clouds(f"[nodes]\nham0 via=local uri=test://{tmp_path}/ham0.xml\n").cloud
    targets = find_guests(cloud, ["web*"])
    survey = survey_nodes(cloud, [guest for _, guest in targets])
    plans, errors = plan_all(survey, targets)
    cloud.nodes[0].change(lambda client: client.define(define(9, disks[0])))
    outcomes = {outcome.item[1].name: outcome.unwrap() for outcome in destroy_guests(survey, plans)}
    assert errors == []
    assert outcomes["web1"].keep == ((str(disks[0]), "web9 uses it"),)
    assert outcomes["web2"].keep == ()
    assert [disk.exists() for disk in disks] == [True, False]
    assert [guest.name for guest in cloud.nodes[0].fetch_guests()] == ["web9"]
