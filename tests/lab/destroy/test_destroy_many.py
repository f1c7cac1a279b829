"""destroy on real nodes: several hundred guests in one command."""

import json
import re
from uuid import uuid4

import pytest

from tests.lab.support.cli import mclu, mclu_parallel
from tests.lab.support.guests import IMAGES, images, states
from tests.lab.support.lab import RealLab

pytestmark = pytest.mark.lab(on=["ham0", "ham1"])

_GUEST = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<metadata><m:guest xmlns:m="urn:mclu:1" uuid="{uuid}"><m:file>{disk}</m:file></m:guest></metadata>
<memory unit='MiB'>16</memory><os><type arch='x86_64'>hvm</type></os><devices>
<disk type='file'><driver type='qcow2'/><source file='{disk}'/><target dev='vda'/></disk></devices></domain>"""


def define(lab: RealLab, node: str, names: list[str]) -> None:
    """Define guests with disks that mclu could have made; one virsh defines all."""
    lines = ["qemu-img create -q -f qcow2 /tmp/empty.qcow2 1M"]
    for name in names:
        disk = f"{IMAGES}/{name}.qcow2"
        xml = _GUEST.format(name=name, uuid=uuid4(), disk=disk)
        lines += [f"cp /tmp/empty.qcow2 {disk}", f"cat >/tmp/{name}.xml <<'END'\n{xml}\nEND"]
    lines += ["virsh -q <<'END' >/dev/null", *(f"define /tmp/{name}.xml" for name in names), "END"]
    completed = lab.run("sh", node=node, input="\n".join([*lines, ""]), timeout=300)
    assert (completed.returncode, completed.stderr) == (0, "")


@pytest.mark.parametrize("count", [60, pytest.param(300, marks=pytest.mark.slow)])
def test_many_guests_of_one_node_are_destroyed_by_one_command(lab: RealLab, count: int) -> None:
    names = [f"m{number}" for number in range(count)]
    define(lab, "ham0", names)
    define(lab, "ham1", ["other"])
    result = lab.run("mclu", "-v", "destroy", "--yes", "m*", timeout=300)
    assert result.returncode == 0, result.stderr
    assert sorted(result.stdout.splitlines()) == sorted(f"ham0:{name} destroyed" for name in names)
    assert (states(lab, "ham0"), images(lab, "ham0")) == ({}, [])
    assert (states(lab, "ham1"), images(lab, "ham1")) == ({"other": "shut off"}, ["other.qcow2"])
    # One survey of each node for all guests.
    assert len(re.findall("libvirt XMLDesc of all", result.stderr)) == 2


def test_two_commands_for_the_same_guests_report_each_guest_and_file_once(lab: RealLab) -> None:
    names = [f"m{number}" for number in range(40)]
    define(lab, "ham0", names)
    results = mclu_parallel(lab, *["-o json destroy --yes m*"] * 3)
    records = [json.loads(line) for result in results for line in result.lines]
    destroyed = [record["guest"] for record in records if record["kind"] == "destroyed"]
    assert sorted(destroyed) == sorted(names)
    assert [record["kept"] for record in records if record["kind"] == "destroyed"] == [[]] * len(names)
    gone = [record for record in records if record["kind"] != "destroyed"]
    assert {result.status for result in results if "gone" in result.out} <= {1}
    assert all(
        "is gone: it was removed elsewhere" in str(record) or "no longer exists" in str(record) for record in gone
    )
    assert (states(lab, "ham0"), images(lab, "ham0")) == ({}, [])


def test_a_guest_that_cannot_be_destroyed_does_not_affect_the_others(lab: RealLab) -> None:
    names = [f"m{number}" for number in range(12)]
    define(lab, "ham0", names)
    stuck = f"{IMAGES}/m5.qcow2"
    lab.run("sh", "-c", f"mv {stuck} /tmp/m5 && touch {stuck} && mount --bind /tmp/m5 {stuck}", node="ham0")
    try:
        result = mclu(lab, "destroy", "--yes", "m*")
    finally:
        lab.run("umount", stuck, node="ham0")
    assert (result.status, result.err) == (0, "")
    assert f"  kept: {stuck} (a mount point)" in result.lines
    assert (states(lab, "ham0"), images(lab, "ham0")) == ({}, ["m5.qcow2"])
