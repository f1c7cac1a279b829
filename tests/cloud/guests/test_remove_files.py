"""The last check before files are deleted, on a node that is this machine."""

import os
from pathlib import Path

import pytest

from mclu_shell.cloud.guests.destroy_plan import DestroyPlan
from mclu_shell.cloud.guests.remove_files import Removal, remove_files
from mclu_shell.cloud.nodes.node import Node
from tests.support.mclu import InProcess


@pytest.fixture
def node(demo: InProcess) -> Node:
    """Return a simulated node, whose commands run on this machine."""
    return demo.cloud.nodes[0]


def plan(*files: Path) -> DestroyPlan:
    keys = [f"{file.stat().st_dev}:{file.stat().st_ino}" for file in files]
    return DestroyPlan(tuple((str(file), 0) for file in files), (), keys=tuple(keys))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Return two files with odd names."""
    files = tmp_path / "a 'disk'", tmp_path / "-seed"
    for file in files:
        file.touch()
    return files


def test_files_are_deleted(node: Node, files: tuple[Path, Path]) -> None:
    assert remove_files(node, [plan(files[0]), plan(files[1])]) == [Removal({}, ""), Removal({}, "")]
    assert not any(file.exists() for file in files)


def test_files_that_were_deleted_elsewhere_are_gone(node: Node, files: tuple[Path, Path], tmp_path: Path) -> None:
    planned = plan(*files)
    files[0].unlink()
    assert remove_files(node, [planned]) == [Removal({}, "", (str(files[0]),))]
    (tmp_path / "link").symlink_to("nowhere")
    link = DestroyPlan(((str(tmp_path / "link"), 0),), (), keys=("link",))
    assert remove_files(node, [link, link]) == [Removal({}, ""), Removal({}, "")]
    assert remove_files(node, [link]) == [Removal({}, "", (str(tmp_path / "link"),))]


def test_a_file_that_was_opened_after_the_plan_is_kept_with_the_others_of_its_guest(
    node: Node, files: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.touch()
    name = Path("/proc/self/comm").read_text().strip()
    with files[1].open():
        removal, second = remove_files(node, [plan(*files), plan(other)])
    kept = {str(files[0]): f"as {files[1]}, which is in use", str(files[1]): f"open in process {os.getpid()} ({name})"}
    assert (removal.kept, second.kept) == (kept, {})
    assert (*(file.exists() for file in files), other.exists()) == (True, True, False)


def test_a_file_that_was_replaced_after_the_plan_is_kept(node: Node, files: tuple[Path, Path]) -> None:
    planned = plan(files[0])
    files[1].rename(files[0])
    (removal,) = remove_files(node, [planned])
    assert removal.kept == {str(files[0]): "changed since the check"}
    assert files[0].exists()
