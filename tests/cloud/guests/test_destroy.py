"""Destruction of guests on a node that is this machine."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.guests.destroy import destroy_guests
from mclu_shell.cloud.guests.destroy_plans import plan_all
from mclu_shell.cloud.guests.find import find_guests
from mclu_shell.cloud.guests.survey import survey_nodes
from tests.support.mclu import InProcess

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")

UUID = "{}1111111-2222-4333-8444-555555555555"
GUEST = """<domain type="test"><name>{name}</name><uuid>{uuid}</uuid>
<metadata><m:guest xmlns:m="urn:mclu:1" uuid="{uuid}">{made}</m:guest></metadata><memory unit="MiB">64</memory>
<os><type>hvm</type></os>
<devices><disk type='file'><driver type='qcow2'/><source file='{disk}'/><target dev='vda'/></disk></devices></domain>"""


def define(number: int, disk: Path, made: str = "") -> str:
    return GUEST.format(name=f"web{number}", uuid=UUID.format(number), disk=disk, made=made)


def test_a_guest_defined_after_the_survey_keeps_its_disk(tmp_path: Path, clouds: Callable[..., InProcess]) -> None:
    disks = [tmp_path / f"web{number}.qcow2" for number in range(1, 3)]
    for disk in disks:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "64K"], check=True)
    guests = [define(i, disk, f"<m:file>{disk}</m:file>") for i, disk in enumerate(disks, 1)]
    (tmp_path / "ham0.xml").write_text(f"<node>{''.join(guests)}</node>")
    cloud = clouds(f"[nodes]\nham0 via=local uri=test://{tmp_path}/ham0.xml images={tmp_path}\n").cloud
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


def make_chain(tmp_path: Path, count: int) -> list[Path]:
    """Make disks of which each is the backing file of the next one."""
    disks = [tmp_path / f"web{number}.qcow2" for number in range(1, count + 1)]
    for base, disk in zip([None, *disks], disks, strict=False):
        options = ["-F", "qcow2", "-b", str(base), str(disk)] if base else [str(disk), "64K"]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options], check=True)
    return disks


def open_cloud(tmp_path: Path, clouds: Callable[..., InProcess], guests: list[str]) -> Cloud:
    (tmp_path / "ham0.xml").write_text(f"<node>{''.join(guests)}</node>")
    return clouds(f"[nodes]\nham0 via=local uri=test://{tmp_path}/ham0.xml images={tmp_path}\n").cloud


def test_guests_are_destroyed_after_those_that_use_their_files(
    tmp_path: Path, clouds: Callable[..., InProcess]
) -> None:
    disks = make_chain(tmp_path, 3)
    guests = [define(i, disk, f"<m:file>{disk}</m:file>") for i, disk in enumerate(disks, 1)]
    cloud = open_cloud(tmp_path, clouds, guests)
    targets = find_guests(cloud, ["web*"])
    survey = survey_nodes(cloud, [guest for _, guest in targets])
    plans, errors = plan_all(survey, targets)
    assert errors == []
    # The question shows the guests in their order.
    assert [guest.name for _, guest in plans] == ["web1", "web2", "web3"]
    assert [(plan.keep, len(plan.delete), len(plan.after)) for plan in plans.values()] == [
        ((), 1, 2),
        ((), 1, 1),
        ((), 1, 0),
    ]
    outcomes = list(destroy_guests(survey, plans))
    assert [(outcome.item[1].name, outcome.unwrap().keep) for outcome in outcomes] == [
        ("web3", ()),
        ("web2", ()),
        ("web1", ()),
    ]
    assert not any(disk.exists() for disk in disks)


def test_a_backing_file_of_a_file_that_stays_is_kept(tmp_path: Path, clouds: Callable[..., InProcess]) -> None:
    """The second guest goes as well, but mclu has not made its disk."""
    base, overlay = make_chain(tmp_path, 2)
    cloud = open_cloud(tmp_path, clouds, [define(1, base, f"<m:file>{base}</m:file>"), define(2, overlay)])
    targets = find_guests(cloud, ["web*"])
    survey = survey_nodes(cloud, [guest for _, guest in targets])
    plans, _ = plan_all(survey, targets)
    assert {guest.name: plan.keep for (_, guest), plan in plans.items()} == {
        "web1": ((str(base), f"a backing file of {overlay}"),),
        "web2": ((str(overlay), "not made by mclu"),),
    }
    list(destroy_guests(survey, plans))
    assert base.exists()


def test_a_guest_stays_with_the_one_that_uses_its_files(tmp_path: Path, clouds: Callable[..., InProcess]) -> None:
    disks = make_chain(tmp_path, 2)
    guests = [define(i, disk, f"<m:file>{disk}</m:file>") for i, disk in enumerate(disks, 1)]
    cloud = open_cloud(tmp_path, clouds, guests)
    targets = find_guests(cloud, ["web*"])
    survey = survey_nodes(cloud, [guest for _, guest in targets])
    plans, _ = plan_all(survey, targets)
    # The second guest cannot be destroyed: its disk, which is a directory by now, is no file that rm deletes.
    disks[1].unlink()
    (tmp_path / "web2.qcow2").mkdir()
    status = disks[1].stat()
    second = next(target for target in plans if target[1].name == "web2")
    plans[second] = plans[second]._replace(keys=(f"{status.st_dev}:{status.st_ino}",))
    errors = {outcome.item[1].name: str(outcome.error) for outcome in destroy_guests(survey, plans)}
    assert errors["web1"] == "ham0: web1 not destroyed: ham0:web2, which was not destroyed, uses its files"
    assert disks[0].exists()
    assert [guest.name for guest in cloud.nodes[0].fetch_guests()] == ["web1", "web2"]


def test_a_guest_that_was_removed_elsewhere_is_not_reported_as_destroyed(
    tmp_path: Path, clouds: Callable[..., InProcess]
) -> None:
    disks = make_chain(tmp_path, 1)
    cloud = open_cloud(tmp_path, clouds, [define(1, disks[0], f"<m:file>{disks[0]}</m:file>"), define(2, Path("/no"))])
    targets = find_guests(cloud, ["web*"])
    survey = survey_nodes(cloud, [guest for _, guest in targets])
    plans, _ = plan_all(survey, targets)
    cloud.nodes[0].change_guests([guest for _, guest in targets], "stop", 10)
    for _, guest in targets:
        cloud.nodes[0].undefine_guest(guest.name, guest.uuid, "")
    errors = {outcome.item[1].name: outcome.error for outcome in destroy_guests(survey, plans)}
    assert {name: str(error) for name, error in errors.items()} == {
        name: f"ham0: {name} is gone: it was removed elsewhere" for name in ("web1", "web2")
    }
    assert [error and error.guest for error in errors.values()] == ["web1", "web2"]
    # virsh undefine, for example, keeps the files.
    assert disks[0].exists()


def test_guests_that_use_the_files_of_each_other_keep_one(tmp_path: Path, clouds: Callable[..., InProcess]) -> None:
    disks = [tmp_path / f"web{number}.qcow2" for number in range(1, 3)]
    for disk in disks:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "64K"], check=True)
    guests = [
        define(number, disk, f"<m:file>{disk}</m:file>").replace("</os>", f"<kernel>{other}</kernel></os>")
        for number, disk, other in ((1, disks[0], disks[1]), (2, disks[1], disks[0]))
    ]
    cloud = open_cloud(tmp_path, clouds, guests)
    targets = find_guests(cloud, ["web*"])
    survey = survey_nodes(cloud, [guest for _, guest in targets])
    plans, _ = plan_all(survey, targets)
    outcomes = [outcome.unwrap() for outcome in destroy_guests(survey, plans)]
    assert [plan.keep for plan in outcomes] == [((str(disks[0]), "web2 uses it"),), ()]
    assert [disk.exists() for disk in disks] == [True, False]
