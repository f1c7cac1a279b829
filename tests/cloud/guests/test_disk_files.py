import os
import shutil
import subprocess
from pathlib import Path

import pytest

from mclu_shell.cloud.guests.disk_files import DiskFiles, find_overlays, inspect_files
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import MCluError
from tests.conftest import InProcess

pytestmark = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")


@pytest.fixture
def node(demo: InProcess) -> Node:
    """A simulated node, whose commands run here."""
    return demo.cloud.nodes[0]


@pytest.fixture
def disks(tmp_path: Path) -> Path:
    """root.img, base.qcow2 built on it, top.qcow2 built on that; `dir/link` is top.qcow2."""
    create(tmp_path / "root.img", kind="raw")
    create(tmp_path / "base.qcow2", "root.img", "raw")
    create(tmp_path / "top.qcow2", "base.qcow2")
    (tmp_path / "dir").symlink_to(".")
    (tmp_path / "link").symlink_to("top.qcow2")
    return tmp_path


def create(file: Path, base: str = "", base_kind: str = "qcow2", kind: str = "qcow2") -> None:
    behind = ["-F", base_kind, "-b", base] if base else []
    subprocess.run(["qemu-img", "create", "-q", "-f", kind, *behind, file, *([] if base else ["64K"])], check=True)


def test_all_that_a_disk_is_built_on(node: Node, disks: Path) -> None:
    name = f"{disks}/dir/link"
    files = inspect_files(node, [name], [])
    assert files.real_path(name) == f"{disks}/top.qcow2"
    assert files.backing_chain(name) == (f"{disks}/base.qcow2", f"{disks}/root.img")
    assert files.backing_chain(f"{disks}/dir/base.qcow2") == (f"{disks}/root.img",)
    assert files.sizes[f"{disks}/top.qcow2"] == (disks / "top.qcow2").stat().st_blocks * 512


def test_what_deleting_a_name_would_free(node: Node, disks: Path) -> None:
    (disks / "again").hardlink_to(disks / "root.img")
    files = inspect_files(node, [f"{disks}/link"], [f"{disks}/again"])
    # What a link leads to is looked at, too: it is another file.
    top = f"{disks}/top.qcow2"
    assert files.links == {f"{disks}/link"}
    assert (files.sizes[f"{disks}/link"], files.sizes[f"{disks}/again"]) == (0, 0)
    assert files.sizes[top] == (disks / "top.qcow2").stat().st_blocks * 512 > 0


def test_what_is_no_file_to_be_deleted(node: Node, disks: Path) -> None:
    os.mkfifo(disks / "fifo")
    files = inspect_files(node, ["/dev/null", str(disks), f"{disks}/fifo", f"{disks}/root.img"], [])
    assert files.obstacles == {
        "/dev/null": "a device",
        str(disks): "a directory",
        f"{disks}/fifo": "not a regular file",
    }


def test_a_disk_is_found_by_all_its_names(node: Node, disks: Path) -> None:
    files = inspect_files(node, [f"{disks}/dir/top.qcow2"], [f"{disks}/top.qcow2"])
    assert files.backing_chain(f"{disks}/top.qcow2") == (f"{disks}/base.qcow2", f"{disks}/root.img")


def test_only_images_are_opened(node: Node, disks: Path) -> None:
    files = inspect_files(node, [], [f"{disks}/top.qcow2", f"{disks}/nowhere"])
    assert files.backing_chain(f"{disks}/top.qcow2") == ()
    assert list(files.sizes) == [f"{disks}/top.qcow2"]
    assert files.real_path(f"{disks}/nowhere") == f"{disks}/nowhere"


def test_what_is_not_there_is_built_on_nothing_and_a_lost_base_is_named(node: Node, disks: Path) -> None:
    (disks / "root.img").unlink()
    files = inspect_files(node, [f"{disks}/top.qcow2", f"{disks}/nowhere", f"{disks}/no/where"], [])
    assert files.backing_chain(f"{disks}/top.qcow2") == (f"{disks}/base.qcow2", f"{disks}/root.img")
    assert files.backing_chain(f"{disks}/nowhere") == ()


def test_disks_that_are_built_on_each_other(node: Node, disks: Path) -> None:
    loop = ["qemu-img", "rebase", "-u", "-F", "qcow2", "-b", "top.qcow2", str(disks / "base.qcow2")]
    subprocess.run(loop, check=True)
    top, base = f"{disks}/top.qcow2", f"{disks}/base.qcow2"
    assert set(inspect_files(node, [top], []).backing_chain(top)) == {top, base}


def test_a_base_that_is_written_as_options(node: Node, disks: Path) -> None:
    base = f'json:{{"driver":"raw","file":{{"driver":"file","filename":"{disks}/root.img"}}}}'
    create(disks / "odd.qcow2", base, "raw")
    files = inspect_files(node, [f"{disks}/odd.qcow2"], [])
    assert files.backing_chain(f"{disks}/odd.qcow2") == (f"{disks}/root.img",)


def test_what_is_no_image_is_told(node: Node, disks: Path) -> None:
    (disks / "bad.qcow2").write_bytes(b"QFI\xfbrubbish")
    with pytest.raises(MCluError, match=r"ham0: cannot determine backing files.*bad\.qcow2"):
        inspect_files(node, [f"{disks}/bad.qcow2"], [])


def test_what_is_built_on_a_file_by_somebody_else(node: Node, disks: Path) -> None:
    top, child = f"{disks}/top.qcow2", f"{disks}/child of it"
    files = inspect_files(node, [top], [])
    assert find_overlays(node, [top], files) == {}
    # By whatever name it is built on it.
    create(Path(child), "dir/link")
    files = inspect_files(node, [f"{disks}/dir/top.qcow2"], [])
    assert find_overlays(node, [f"{disks}/dir/top.qcow2"], files) == {top: child}
    assert find_overlays(node, [], files) == {}


def test_what_is_built_on_a_link_lies_beside_the_link(node: Node, disks: Path) -> None:
    link, child = disks / "beside" / "link", disks / "beside" / "child.qcow2"
    link.parent.mkdir()
    link.symlink_to(disks / "root.img")
    create(child, "link", "raw")
    assert find_overlays(node, [str(link)], inspect_files(node, [str(link)], [])) == {f"{disks}/root.img": str(child)}


def test_what_lies_beside_a_file_need_be_no_image(node: Node, disks: Path) -> None:
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
    assert find_overlays(node, [top], inspect_files(node, [top], [])) == {top: f"{disks}/child.qcow2"}


def test_a_name_of_two_lines_is_not_mistaken_for_others(node: Node, disks: Path) -> None:
    (disks / "one\u2028line").touch()
    assert f"{disks}/one\u2028line" in inspect_files(node, [], [f"{disks}/one\u2028line"]).sizes
    (disks / "two\nlines").touch()
    with pytest.raises(MCluError, match="cannot determine backing files"):
        inspect_files(node, [], [f"{disks}/two\nlines"])


def test_what_was_not_asked_for_is_where_its_name_says() -> None:
    assert DiskFiles().real_path("/x") == "/x"
