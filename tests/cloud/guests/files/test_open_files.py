"""Files that are in use without an open descriptor, on a node that is this machine."""

import mmap
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mclu_shell.cloud.guests.files.open_files import FileUser, fetch_open_files
from mclu_shell.cloud.nodes.node import Node
from tests.support.mclu import InProcess


@pytest.fixture
def node(demo: InProcess) -> Node:
    """Return a simulated node, whose commands run on this machine."""
    return demo.cloud.nodes[0]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "a file"
    file.write_bytes(bytes(1 << 20))
    file.chmod(0o600)
    return file


@pytest.fixture
def use(file: Path) -> Iterator[Callable[..., str]]:
    """Return a function that runs a command of root on the file and returns its output; a second one undoes it."""
    with ExitStack() as stack:

        def run(command: list[str], undo: list[str]) -> str:
            done = subprocess.run([*command, file], capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"{command[0]}: {done.stderr.strip()}")
            output = done.stdout.strip()
            stack.callback(subprocess.run, [*undo, output or file], check=True)
            return output

        yield run


def describe(node: Node, file: Path) -> str:
    status = file.stat()
    users = fetch_open_files(node).find_users(f"{status.st_dev}:{status.st_ino}")
    return users[0].description if users else ""


def test_a_file_that_nothing_uses_is_not_open(node: Node, file: Path) -> None:
    assert describe(node, file) == ""


def test_a_file_that_a_process_has_open_is_open(node: Node, file: Path) -> None:
    with file.open():
        assert describe(node, file) == f"open in process {os.getpid()}"


def test_the_guest_of_a_qemu_process_is_known(node: Node, file: Path) -> None:
    uuid = "11111111-2222-4333-8444-555555555555"
    command = ["sh", "-c", f"exec 3<>{shlex.quote(str(file))}; echo; read line", "-name", "guest=web", "-uuid", uuid]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        status = file.stat()
        users = fetch_open_files(node).find_users(f"{status.st_dev}:{status.st_ino}")
        process.communicate(b"\n")
    assert users == [FileUser(f"open in process {process.pid}", uuid)]


def test_a_file_that_a_process_has_only_mapped_is_open(node: Node, file: Path) -> None:
    with file.open("r+b") as opened:
        mapping = mmap.mmap(opened.fileno(), 0)
    # mmap keeps a duplicate of the descriptor.
    (descriptor,) = [fd for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink() and fd.readlink() == file]
    os.close(int(descriptor.name))
    try:
        assert describe(node, file) == f"open in process {os.getpid()}"
    finally:
        # Something for mmap to close.
        os.open("/dev/null", os.O_RDONLY)
        mapping.close()


def test_a_file_behind_a_loop_device_is_open(node: Node, file: Path, use: Callable[..., str]) -> None:
    device = use(["losetup", "-f", "--show"], ["losetup", "-d"])
    assert describe(node, file) == f"open as {device}"


def test_active_swap_space_is_open(node: Node, file: Path, use: Callable[..., str]) -> None:
    subprocess.run(["mkswap", "-q", file], check=False, capture_output=True)
    use(["swapon"], ["swapoff"])
    assert describe(node, file) == "open as swap space"
