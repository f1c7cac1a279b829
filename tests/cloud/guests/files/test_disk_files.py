import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mclu_shell.cloud.guests.files.disk_files import DiskFiles, find_overlays, inspect_files
from mclu_shell.cloud.nodes.node import Node
from tests.support.mclu import InProcess

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


@pytest.fixture
def node(demo: InProcess) -> Node:
    """Return a simulated node, whose commands run on this machine."""
    return demo.cloud.nodes[0]


@pytest.fixture
def disks(tmp_path: Path) -> Path:
    """Make the chain top.qcow2, base.qcow2, root.img, and `dir/link`, a link to top.qcow2."""
    create(tmp_path / "root.img", kind="raw")
    create(tmp_path / "base.qcow2", "root.img", "raw")
    create(tmp_path / "top.qcow2", "base.qcow2")
    (tmp_path / "dir").symlink_to(".")
    (tmp_path / "link").symlink_to("top.qcow2")
    return tmp_path


def create(file: Path, base: str = "", base_kind: str = "qcow2", kind: str = "qcow2") -> None:
    behind = ["-F", base_kind, "-b", base] if base else []
    subprocess.run(["qemu-img", "create", "-q", "-f", kind, *behind, file, *([] if base else ["64K"])], check=True)


def test_the_backing_chain_of_a_disk_is_found(node: Node, disks: Path) -> None:
    name = f"{disks}/dir/link"
    files = inspect_files(node, [name], [])
    assert files.real_path(name) == f"{disks}/top.qcow2"
    assert files.backing_chain(name) == (f"{disks}/base.qcow2", f"{disks}/root.img")
    assert files.backing_chain(f"{disks}/dir/base.qcow2") == (f"{disks}/root.img",)
    assert files.sizes[f"{disks}/top.qcow2"] == (disks / "top.qcow2").stat().st_blocks * 512


def test_the_size_of_a_name_is_the_space_that_its_deletion_frees(node: Node, disks: Path) -> None:
    (disks / "again").hardlink_to(disks / "root.img")
    files = inspect_files(node, [f"{disks}/link"], [f"{disks}/again"])
    # The target of a link is inspected, too: it is another file.
    top = f"{disks}/top.qcow2"
    assert files.links == {f"{disks}/link"}
    assert (files.sizes[f"{disks}/link"], files.sizes[f"{disks}/again"]) == (0, 0)
    assert files.sizes[top] == (disks / "top.qcow2").stat().st_blocks * 512 > 0


def test_obstacles_are_reported(node: Node, disks: Path) -> None:
    os.mkfifo(disks / "fifo")
    files = inspect_files(node, ["/dev/null", str(disks), f"{disks}/fifo", f"{disks}/root.img"], [])
    assert files.obstacles == {
        "/dev/null": "a device",
        str(disks): "a directory",
        f"{disks}/fifo": "not a regular file",
    }


def test_all_names_of_a_disk_have_its_backing_chain(node: Node, disks: Path) -> None:
    files = inspect_files(node, [f"{disks}/dir/top.qcow2"], [f"{disks}/top.qcow2"])
    assert files.backing_chain(f"{disks}/top.qcow2") == (f"{disks}/base.qcow2", f"{disks}/root.img")


def test_other_files_may_be_images(node: Node, disks: Path) -> None:
    files = inspect_files(node, [], [f"{disks}/link", f"{disks}/nowhere"])
    assert files.backing_chain(f"{disks}/top.qcow2") == (f"{disks}/base.qcow2", f"{disks}/root.img")
    assert f"{disks}/nowhere" not in files.sizes
    assert files.real_path(f"{disks}/nowhere") == f"{disks}/nowhere"


def test_a_missing_file_has_no_backing_chain_and_a_missing_base_is_named(node: Node, disks: Path) -> None:
    (disks / "root.img").unlink()
    files = inspect_files(node, [f"{disks}/top.qcow2", f"{disks}/nowhere", f"{disks}/no/where"], [])
    assert files.backing_chain(f"{disks}/top.qcow2") == (f"{disks}/base.qcow2", f"{disks}/root.img")
    assert files.backing_chain(f"{disks}/nowhere") == ()


def test_a_loop_in_a_backing_chain_ends(node: Node, disks: Path) -> None:
    loop = ["qemu-img", "rebase", "-u", "-F", "qcow2", "-b", "top.qcow2", str(disks / "base.qcow2")]
    subprocess.run(loop, check=True)
    top, base = f"{disks}/top.qcow2", f"{disks}/base.qcow2"
    assert set(inspect_files(node, [top], []).backing_chain(top)) == {top, base}


@pytest.mark.parametrize(
    "name",
    [
        'json:{{"driver":"raw","file":{{"driver":"file","filename":"{}/root.img"}}}}',
        'json:{{"driver":"raw","file.driver":"file","file.filename":"{}/root.img"}}'.replace("root", "r\\u006fot"),
        "json:{{'driver':'raw','file':'file:{}/root.img'}}",
        'json:{{"driver":"raw","file":{{"driver":"file","filename":"root.img"}}}}',
        "blkdebug::{}/root.img",
        "blkverify:{0}/root.img:{0}/other.img",
        "host_device:{}/root.img",
        "file:{}/root.img",
        "file:root.img",
    ],
)
def test_a_backing_file_with_options_or_a_protocol_is_found(node: Node, disks: Path, name: str) -> None:
    rebase(disks / "odd.qcow2", name.format(disks))
    files = inspect_files(node, [f"{disks}/odd.qcow2"], [])
    assert files.backing_chain(f"{disks}/odd.qcow2") == (f"{disks}/root.img",)


def test_a_backing_file_in_a_directory_that_is_not_ascii_is_found(node: Node, disks: Path) -> None:
    (disks / "bücher").mkdir()
    create(disks / "bücher" / "base.qcow2")
    name = {"driver": "qcow2", "file": {"driver": "file", "filename": f"{disks}/bücher/base.qcow2"}}
    rebase(disks / "odd.qcow2", f"json:{json.dumps(name)}")
    assert "\\u00fc" in (disks / "odd.qcow2").read_text(errors="replace")
    files = inspect_files(node, [f"{disks}/odd.qcow2"], [])
    assert files.backing_chain(f"{disks}/odd.qcow2") == (f"{disks}/bücher/base.qcow2",)


@pytest.mark.parametrize("name", ["json:{broken", "/lost/\udcff", 'json:{"filename":"\\ud800"}'])
def test_an_image_whose_backing_file_name_cannot_be_decoded_may_need_any_file(
    node: Node, disks: Path, name: str
) -> None:
    child, top = f"{disks}/child.qcow2", f"{disks}/top.qcow2"
    rebase(Path(child), name)
    assert inspect_files(node, [child], []).unreadable == {child: "cannot decode the name of its backing file"}
    files = inspect_files(node, [top], [])
    assert find_overlays(node, [top], files) == {files.key(top): (child,)}
    assert files.unreadable == {}


@pytest.mark.parametrize("name", [b"two\nlines.qcow2", b"latin1 \xff.qcow2", "bücher.qcow2".encode()])
def test_an_overlay_with_an_odd_name_is_found(node: Node, disks: Path, name: bytes) -> None:
    create(disks / "child.qcow2", "top.qcow2")
    os.rename(os.fsencode(disks / "child.qcow2"), os.fsencode(disks) + b"/" + name)  # noqa: PTH104
    top = f"{disks}/top.qcow2"
    files = inspect_files(node, [top], [])
    shown = name.replace(b"\n", b"?").decode(errors="replace")
    assert find_overlays(node, [top], files) == {files.key(top): (f"{disks}/{shown}",)}


def rebase(file: Path, base: str) -> None:
    """Make an image with this name of a backing file, which need not exist."""
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", base, file, "64K"], check=True)


def test_a_vmdk_descriptor_with_extents_and_a_parent_is_read(node: Node, disks: Path) -> None:
    parent, child = disks / "parent.vmdk", disks / "child.vmdk"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", parent, "64K"], check=True)
    options = ["-F", "vmdk", "-b", str(parent), "-o", "subformat=monolithicSparse"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", *options, child], check=True)
    assert str(parent) in inspect_files(node, [str(child)], []).backing_chain(str(child))


@pytest.mark.parametrize("kind", ["qed", "qcow"])
def test_older_formats_have_backing_files(node: Node, disks: Path, kind: str) -> None:
    create(disks / "old", "base.qcow2", "qcow2", kind)
    chain = inspect_files(node, [f"{disks}/old"], []).backing_chain(f"{disks}/old")
    assert chain == (f"{disks}/base.qcow2", f"{disks}/root.img")


def test_an_invalid_image_is_unreadable(node: Node, disks: Path) -> None:
    (disks / "bad.qcow2").write_bytes(b"KDMVrubbish")
    (name, reason), *rest = inspect_files(node, [f"{disks}/bad.qcow2"], []).unreadable.items()
    assert (name, rest) == (f"{disks}/bad.qcow2", [])
    assert "bad.qcow2" in reason


@pytest.mark.parametrize("name", ["data.raw", "dir/data.raw"])
def test_an_external_data_file_is_part_of_the_chain(node: Node, disks: Path, name: str) -> None:
    top = disks / "external.qcow2"
    options = ["-o", f"data_file={disks / name if '/' in name else name}"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(top), "64K"], check=True, cwd=disks)
    files = inspect_files(node, [str(top)], [])
    assert files.backing_chain(str(top)) == (f"{disks}/data.raw",)


def test_an_extent_is_part_of_the_chain(node: Node, disks: Path) -> None:
    top = disks / "flat.vmdk"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", str(top), "64K"], check=True
    )
    assert inspect_files(node, [str(top)], []).backing_chain(str(top)) == (f"{disks}/flat-flat.vmdk",)


def test_all_paths_of_a_file_have_one_key(node: Node, disks: Path) -> None:
    names = [f"{disks}/top.qcow2", f"{disks}/link", f"{disks}/dir/top.qcow2", f'{disks}/it\'s "it"']
    (disks / 'it\'s "it"').hardlink_to(disks / "top.qcow2")
    files = inspect_files(node, [], [*names, f"{disks}/root.img", f"{disks}/isn't there"])
    status = (disks / "top.qcow2").stat()
    assert {files.key(name) for name in names} == {f"{status.st_dev}:{status.st_ino}"}
    assert files.key(f"{disks}/root.img") != files.key(names[0])


def test_thousands_of_names_are_inspected(node: Node, disks: Path) -> None:
    names = [f"{disks}/{'x' * 60}{number}" for number in range(3000)]
    files = inspect_files(node, names[:2000], [*names[2000:], f"{disks}/root.img"])
    assert list(files.sizes) == [f"{disks}/root.img"]


def test_an_overlay_that_a_user_made_is_found(node: Node, disks: Path) -> None:
    top, child = f"{disks}/top.qcow2", f"{disks}/child of it"
    files = inspect_files(node, [top], [])
    assert find_overlays(node, [top], files) == {}
    # Its backing file may have any of its names.
    create(Path(child), "dir/link")
    files = inspect_files(node, [f"{disks}/dir/top.qcow2"], [])
    assert find_overlays(node, [f"{disks}/dir/top.qcow2"], files) == {files.key(top): (child,)}
    assert find_overlays(node, [], files) == {}


def test_an_overlay_on_a_link_is_found_beside_the_link(node: Node, disks: Path) -> None:
    link, child = disks / "beside" / "link", disks / "beside" / "child.qcow2"
    link.parent.mkdir()
    link.symlink_to(disks / "root.img")
    create(child, "link", "raw")
    files = inspect_files(node, [str(link)], [])
    assert str(child) in find_overlays(node, [str(link)], files)[files.key(str(link))]


def test_the_search_for_overlays_changes_no_other_chain(node: Node, disks: Path) -> None:
    (disks / "base.qcow2").unlink()
    files = inspect_files(node, [f"{disks}/top.qcow2"], [])
    before = dict(files.backing)
    find_overlays(node, [f"{disks}/top.qcow2"], files)
    assert f"{disks}/base.qcow2" in files.backing_chain(f"{disks}/top.qcow2")
    assert files.backing == before


def test_other_files_in_the_directory_are_ignored(node: Node, disks: Path) -> None:
    (disks / "bad.qcow2").write_bytes(b"QFI\xfb" + b"rubbish" * 9)
    (disks / "empty").touch()
    (disks / "two\nlines").write_bytes((disks / "top.qcow2").read_bytes())
    (disks / "hidden").mkdir(mode=0)
    os.mkfifo(disks / "fifo")
    create(disks / "lost.qcow2")
    create(disks / "orphan.qcow2", "lost.qcow2")
    (disks / "lost.qcow2").write_bytes(b"QFI\xfbrubbish")
    create(disks / "child.qcow2", "top.qcow2")
    top = f"{disks}/top.qcow2"
    files = inspect_files(node, [top], [])
    assert find_overlays(node, [top], files) == {files.key(top): (f"{disks}/child.qcow2",)}
    assert files.unreadable == {}


def test_a_file_name_with_a_newline_is_unreadable(node: Node, disks: Path) -> None:
    (disks / "one\u2028line").touch()
    assert f"{disks}/one\u2028line" in inspect_files(node, [], [f"{disks}/one\u2028line"]).sizes
    (disks / "two\nlines").touch()
    files = inspect_files(node, [f"{disks}/base.qcow2"], [f"{disks}/two\nlines"])
    assert files.unreadable == {f"{disks}/two\nlines": "its name has several lines"}
    assert f"{disks}/base.qcow2" in files.sizes


def test_a_broken_image_is_read_as_far_as_its_header(node: Node, disks: Path) -> None:
    """A header that has no room for a name names no file."""
    create(disks / "cut.qcow2", "base.qcow2")
    with (disks / "cut.qcow2").open("r+b") as image:
        # The offset of the L1 table.
        image.seek(47)
        image.write(b"\1")
    (disks / "rubbish.qcow2").write_bytes(b"QFI\xfb" + b"rubbish" * 30)
    (disks / "short.qcow2").write_bytes(b"QFI\xfbrubbish")
    names = [f"{disks}/{name}.qcow2" for name in ("cut", "rubbish", "short")]
    assert subprocess.run(["qemu-img", "info", names[0]], capture_output=True, check=False).returncode
    files = inspect_files(node, names, [])
    assert files.unreadable == {}
    assert [files.backing_chain(name) for name in names] == [(f"{disks}/base.qcow2", f"{disks}/root.img"), (), ()]


def test_a_file_that_was_not_inspected_is_its_own_real_path() -> None:
    assert DiskFiles().real_path("/x") == "/x"
