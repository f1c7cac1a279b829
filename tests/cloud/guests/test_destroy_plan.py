"""The files that are deleted with a guest, on a node that is this machine."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.cloud import Cloud
from mclu_shell.cloud.guests.destroy_plan import DestroyPlan, plan_destroy
from mclu_shell.cloud.guests.find import find_guest
from mclu_shell.cloud.guests.survey import PlannedRemovals, survey_nodes
from mclu_shell.errors import NotFound
from tests.support.mclu import InProcess
from tests.support.nodes import write_node

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")

WEB, DB = "11111111-2222-4333-8444-555555555555", "21111111-2222-4333-8444-555555555555"
GUEST = """<domain type="test"><name>{name}</name><uuid>{uuid}</uuid>
<metadata><m:guest xmlns:m="urn:mclu:1" uuid="{uuid}">{made}</m:guest></metadata>
<memory unit="MiB">64</memory><os><type>hvm</type>{nvram}</os><devices>{disks}</devices></domain>"""
DISK = "<disk type='file'><driver type='qcow2'/><source file='{}'/><target dev='vd{}'/></disk>"

Make = Callable[..., Cloud]


def define(name: str, uuid: str, disks: list[Path], made: list[Path], nvram: str = "") -> str:
    return GUEST.format(
        name=name,
        uuid=uuid,
        made="".join(f"<m:file>{file}</m:file>" for file in made),
        disks="".join(DISK.format(file, letter) for file, letter in zip(disks, "abcd", strict=False)),
        nvram=nvram,
    )


@pytest.fixture
def node_with(tmp_path: Path, clouds: Callable[..., InProcess]) -> Make:
    """Return a function that makes a cloud of one node with these definitions."""

    def make(*definitions: str) -> Cloud:
        return clouds(f"[nodes]\n{write_node(tmp_path, 'ham0', *definitions)} images={tmp_path}/images").cloud

    return make


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return create(tmp_path / "images" / "web.qcow2")


def create(file: Path, base: Path | None = None) -> Path:
    file.parent.mkdir(exist_ok=True)
    options = ["-F", "qcow2", "-b", str(base), str(file)] if base else [str(file), "64K"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options], check=True)
    return file


def plan(cloud: Cloud, confirmed: DestroyPlan | None = None, removed: PlannedRemovals | None = None) -> DestroyPlan:
    _, guest = find_guest(cloud, "web")
    return plan_destroy(survey_nodes(cloud, [guest], {"ham0": removed or PlannedRemovals()}), guest, confirmed)


def test_a_disk_that_mclu_made_is_deleted(node_with: Make, disk: Path) -> None:
    result = plan(node_with(define("web", WEB, [disk], [disk])))
    assert (result.delete, result.keep) == (((str(disk), disk.stat().st_blocks * 512),), ())
    assert result.keys == (f"{disk.stat().st_dev}:{disk.stat().st_ino}",)
    assert result.size_bytes == disk.stat().st_blocks * 512


def test_a_disk_that_mclu_did_not_make_is_kept(node_with: Make, disk: Path, tmp_path: Path) -> None:
    other = create(tmp_path / "other.qcow2")
    result = plan(node_with(define("web", WEB, [disk, other], [disk])))
    assert [file for file, _ in result.delete] == [str(disk)]
    assert result.keep == ((str(other), "not made by mclu"),)


@pytest.mark.parametrize("name", ["other/web.qcow2", "images/db.qcow2", "images/web.img"])
def test_a_file_that_only_metadata_gives_to_the_guest_is_kept(node_with: Make, tmp_path: Path, name: str) -> None:
    """Metadata comes with an imported or migrated guest, and may even have the identity of the file."""
    (tmp_path / "images").mkdir()
    file = create(tmp_path / name)
    xml = define("web", WEB, [], [file]).replace("<m:file>", f"<m:file id='{identity(file)}'>")
    for given in (xml, define("web", WEB, [file], [file])):
        result = plan(node_with(given))
        assert (result.delete, result.keep) == ((), ((str(file), "not made by mclu"),))


RAW_DISK = "<disk type='file'><source file='{}'/><target dev='vdz'/></disk>"
LOG = "<serial type='file'><source path='{0}'/><log file='{0}'/></serial>"


@pytest.mark.parametrize("device", [RAW_DISK, LOG, "<console type='file'><source path='{}'/></console>"])
def test_data_of_another_guest_that_imitates_an_overlay_keeps_nothing(
    node_with: Make, disk: Path, tmp_path: Path, device: str
) -> None:
    """A guest can write the header of an image to its raw disk or its console."""
    written = create(tmp_path / "images" / "written.img", disk)
    db = define("db", DB, [], []).replace("</devices>", f"{device.format(written)}</devices>")
    assert plan(node_with(define("web", WEB, [disk], [disk]), db)).keep == ()
    # qemu-img cannot open the image, so its backing file would be unknown.
    written.write_bytes(b"QFI\xfb\0\0\0\x03" + b"\xff" * 504)
    assert plan(node_with(define("web", WEB, [disk], [disk]), db)).keep == ()


def test_the_format_of_a_disk_is_that_of_its_definition(node_with: Make, disk: Path, tmp_path: Path) -> None:
    overlay = create(tmp_path / "images" / "top.qcow2", disk)
    cloud = node_with(define("web", WEB, [disk], [disk]), define("db", DB, [overlay], []))
    assert plan(cloud).keep == ((str(disk), "db uses it"),)


def test_a_raw_backing_file_refers_to_no_other(node_with: Make, disk: Path, tmp_path: Path) -> None:
    """It may have been the disk of another guest."""
    base = create(tmp_path / "base.img", disk)
    top = tmp_path / "top.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(base), str(top)], check=True)
    cloud = node_with(define("web", WEB, [disk], [disk]), define("db", DB, [top], []))
    assert plan(cloud).keep == ()


def identity(file: Path) -> str:
    script = "LC_ALL=C TZ=UTC0 stat -c '%i %w' -- \"$1\""
    return subprocess.run(["sh", "-c", script, "sh", file], check=True, capture_output=True, text=True).stdout.strip()


UNUSED = "the guest no longer uses it, and mclu may not have made it"


def test_a_file_at_the_path_of_a_moved_disk_is_kept(node_with: Make, disk: Path, tmp_path: Path) -> None:
    """The user has moved the disk, as blockcopy does, and has put another file in its place."""
    noted = define("web", WEB, [tmp_path / "moved.qcow2"], [disk])
    noted = noted.replace(f"<m:file>{disk}", f"<m:file id='{identity(disk)}'>{disk}")
    disk.rename(tmp_path / "moved.qcow2")
    create(disk)
    result = plan(node_with(noted))
    assert (result.delete, result.keep) == (
        (),
        ((str(disk), UNUSED), (str(tmp_path / "moved.qcow2"), "not made by mclu")),
    )


def test_an_unused_file_is_deleted_only_if_it_is_the_one_that_mclu_made(node_with: Make, disk: Path) -> None:
    """The user has detached the seed, for example. Earlier versions did not note the identity."""
    seed = create(disk.with_name("web.qcow2.seed"))
    xml = define("web", WEB, [disk], [disk, seed])
    assert plan(node_with(xml)).keep == ((str(seed), UNUSED),)
    xml = xml.replace(f"<m:file>{seed}", f"<m:file id='{identity(seed)}'>{seed}")
    assert plan(node_with(xml)).keep == ()
    create(seed.with_name("new")).rename(seed)
    assert plan(node_with(xml)).keep == ((str(seed), UNUSED),)


def test_a_file_that_the_guest_needs_without_naming_it_is_deleted(node_with: Make, disk: Path) -> None:
    """Its definition may name a file by another path, or an overlay on it that mclu made, too."""
    overlay = create(disk.with_name("web.qcow2.top"), disk)
    link = disk.with_name("link")
    link.symlink_to(overlay.name)
    result = plan(node_with(define("web", WEB, [link], [disk, overlay])))
    assert [file for file, _ in result.delete] == [str(disk), str(overlay)]


def test_a_file_that_another_file_of_the_guest_needs_is_kept(node_with: Make, disk: Path, tmp_path: Path) -> None:
    """The other file is the user's own, and no disk in libvirt's eyes."""
    overlay = create(tmp_path / "mine.qcow2", disk)
    xml = define("web", WEB, [disk], [disk]).replace("</os>", f"<kernel>{overlay}</kernel></os>")
    assert plan(node_with(xml)).keep == ((str(disk), f"a backing file of {overlay}"),)


def test_a_backing_file_is_kept(node_with: Make, tmp_path: Path) -> None:
    base = create(tmp_path / "base.qcow2")
    disk = create(tmp_path / "images" / "web.qcow2", base)
    result = plan(node_with(define("web", WEB, [disk], [disk])))
    assert [file for file, _ in result.delete] == [str(disk)]
    assert result.keep == ((str(base), "a backing file"),)


def test_a_missing_backing_file_is_not_listed(node_with: Make, disk: Path, tmp_path: Path) -> None:
    overlay = create(tmp_path / "images" / "web.qcow2.top", disk)
    disk.unlink()
    result = plan(node_with(define("web", WEB, [overlay], [overlay])))
    assert ([file for file, _ in result.delete], result.keep) == ([str(overlay)], ())


def test_a_disk_with_an_overlay_beside_it_is_kept(node_with: Make, disk: Path) -> None:
    overlay = create(disk.with_name("copy.qcow2"), disk)
    cloud = node_with(define("web", WEB, [disk], [disk]))
    assert plan(cloud).keep == ((str(disk), f"a backing file of {overlay}"),)
    assert plan(cloud, removed=PlannedRemovals(files=frozenset([str(overlay)]))).keep == ()


def test_a_disk_that_another_guest_uses_is_kept(node_with: Make, disk: Path) -> None:
    cloud = node_with(define("web", WEB, [disk], [disk]), define("db", DB, [disk], []))
    assert plan(cloud).keep == ((str(disk), "db uses it"),)
    assert plan(cloud, removed=PlannedRemovals(guests=frozenset([DB]))).keep == ()


def test_a_link_to_the_disk_of_another_guest_is_deleted_without_it(node_with: Make, disk: Path) -> None:
    """The user has put the link in the place of the guest's disk. A guest that names the link needs it."""
    target = create(disk.with_name("db.qcow2"))
    overlay = create(disk.parent.parent / "top.qcow2", target)
    disk.unlink()
    disk.symlink_to(target)
    for used in (target, overlay):
        result = plan(node_with(define("web", WEB, [disk], [disk]), define("db", DB, [used], [used])))
        assert [file for file, _ in result.delete] == [str(disk)]
        assert result.keep == ((str(target), "not made by mclu"),)
    by_link = create(disk.parent.parent / "link.qcow2", disk)
    for used in (disk, by_link):
        result = plan(node_with(define("web", WEB, [disk], [disk]), define("db", DB, [used], [used])))
        assert (result.delete, dict(result.keep)[str(disk)]) == ((), "db uses it")


def test_a_file_outside_the_confirmed_plan_is_kept(node_with: Make, disk: Path) -> None:
    cloud = node_with(define("web", WEB, [disk], [disk]))
    reason = "made after the confirmation"
    assert plan(cloud, confirmed=DestroyPlan((), ())).keep == ((str(disk), reason),)
    kept = DestroyPlan((), ((str(disk), "db uses it"),))
    assert plan(cloud, confirmed=kept).keep == kept.keep
    assert plan(cloud, confirmed=plan(cloud)).keep == ()


NVRAM = "<loader readonly='yes' type='pflash'>/firmware</loader><nvram>{}</nvram>"


def test_the_nvram_that_libvirt_made_is_deleted(node_with: Make, disk: Path, tmp_path: Path) -> None:
    nvram = made_by_libvirt(tmp_path)
    result = plan(node_with(define("web", WEB, [disk], [disk], NVRAM.format(nvram))))
    assert [file for file, _ in result.delete] == [str(disk), str(nvram)]
    assert result.nvram == str(nvram)


@pytest.mark.parametrize("name", ["web_VARS.fd", "vars.fd"])
def test_the_nvram_of_a_guest_that_mclu_did_not_make_is_kept(node_with: Make, tmp_path: Path, name: str) -> None:
    nvram = made_by_libvirt(tmp_path, name)
    result = plan(node_with(define("web", WEB, [], [], NVRAM.format(nvram))))
    assert (result.delete, result.keep, result.nvram) == ((), ((str(nvram), "not made by mclu"),), "")


def test_nvram_under_a_name_that_libvirt_does_not_choose_is_kept(node_with: Make, disk: Path, tmp_path: Path) -> None:
    nvram = made_by_libvirt(tmp_path, "vars.fd")
    result = plan(node_with(define("web", WEB, [disk], [disk], NVRAM.format(nvram))))
    assert (result.keep, result.nvram) == (((str(nvram), "not made by mclu"),), "")


def test_nvram_that_is_older_than_the_guest_is_kept(node_with: Make, tmp_path: Path) -> None:
    """An earlier guest of the same name has left it."""
    nvram = made_by_libvirt(tmp_path)
    disk = create(tmp_path / "images" / "web.qcow2")
    result = plan(node_with(define("web", WEB, [disk], [disk], NVRAM.format(nvram))))
    assert (result.keep, result.nvram) == (((str(nvram), "not made by mclu"),), "")


def test_nvram_that_another_guest_uses_is_kept(node_with: Make, disk: Path, tmp_path: Path) -> None:
    nvram = made_by_libvirt(tmp_path)
    element = NVRAM.format(nvram)
    result = plan(node_with(define("web", WEB, [disk], [disk], element), define("db", DB, [], [], element)))
    assert (result.keep, result.nvram) == (((str(nvram), "db uses it"),), "")


TPM = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"


def test_the_state_of_a_tpm_is_kept_with_the_disks_that_it_may_encrypt(
    node_with: Make, disk: Path, tmp_path: Path
) -> None:
    def define_with_tpm(made: list[Path]) -> str:
        return define("web", WEB, [disk], made).replace("</devices>", f"{TPM}</devices>")

    result = plan(node_with(define_with_tpm([disk])))
    assert (result.state, result.keeps_tpm) == (("TPM state",), False)
    result = plan(node_with(define_with_tpm([])))
    assert (result.state, result.keeps_tpm) == ((), True)
    result = plan(node_with(define_with_tpm([disk]), define("db", DB, [disk], [])))
    assert (result.state, result.keeps_tpm) == ((), True)


def made_by_libvirt(directory: Path, name: str = "web_VARS.fd") -> Path:
    nvram = directory / "qemu/nvram" / name
    nvram.parent.mkdir(parents=True)
    nvram.touch()
    return nvram


def test_a_guest_that_is_gone_is_an_error(node_with: Make, disk: Path) -> None:
    cloud = node_with(define("web", WEB, [disk], [disk]))
    with pytest.raises(NotFound, match="ham0: web no longer exists"):
        plan(cloud, removed=PlannedRemovals(guests=frozenset([WEB])))
