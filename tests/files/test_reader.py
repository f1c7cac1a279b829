"""Files that are no files: each is read in finite time and memory, or an error."""

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.state.disk_cache import load
from mclu_shell.cloud.transport.openssh.known_hosts import known_keys
from mclu_shell.files.reader import read_file, read_regular_file
from tests.support.mclu import MCLU

CONFIG = "[nodes]\\nham0 address=127.0.0.1 port=1\\n"
NODE = "ham0 on, ssh: connection refused on port 1\n"


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def reason(read: Callable[[Path], bytes], path: Path) -> str | None:
    with pytest.raises(OSError, match=r"\[Errno \d+\]") as caught:
        read(path)
    return caught.value.strerror


def test_a_fifo_needs_a_writer(fifo: Path) -> None:
    assert reason(read_file, fifo) == "no program writes to this FIFO"


def test_a_writer_may_come_late_and_write_in_parts(fifo: Path) -> None:
    subprocess.Popen(["sh", "-c", f"sleep 0.5; exec >{fifo}; echo one; sleep 0.5; echo two"])
    assert read_file(fifo) == b"one\ntwo\n"


def test_a_writer_may_write_nothing(fifo: Path) -> None:
    subprocess.Popen(["sh", "-c", f"sleep 0.5; : >{fifo}"])
    assert read_file(fifo) == b""


def test_a_file_without_end_is_too_large() -> None:
    assert reason(read_file, Path("/dev/zero")) == "larger than 16M"
    assert read_file(Path("/dev/null")) == b""


def test_a_device_without_data_is_an_error() -> None:
    """The terminal of another process is one; mclu itself may have none."""
    other, own = os.openpty()
    try:
        assert reason(read_file, Path(os.ttyname(own))) == "this device provides no data"
    finally:
        os.close(other)
        os.close(own)


@pytest.mark.parametrize("path", ["fifo", "/dev/zero", "/dev/null"])
def test_files_that_mclu_looks_up_by_itself_are_regular(fifo: Path, path: str) -> None:
    assert reason(read_regular_file, fifo.parent / path) == "not a regular file"


def test_the_size_of_a_regular_file_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert reason(read_file, path) == reason(read_regular_file, path) == "larger than 16M"


def test_caches_and_known_hosts_are_read_without_waiting(fifo: Path) -> None:
    results: list[object] = []

    def read() -> None:
        results.extend([load(fifo), known_keys((fifo, Path("/dev/zero")), "ham0", 22)])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(10)
    assert results == [(), []]


def run(line: str, **environment: str) -> tuple[int, str, str]:
    """Run a line of bash with mclu as $0."""
    done = subprocess.run(
        ["bash", "-c", line, MCLU],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_configuration_without_writer_or_end_is_an_error(fifo: Path, tmp_path: Path) -> None:
    place = tmp_path / "mclu/mclu.conf"
    place.parent.mkdir()
    fifo.rename(place)
    error = f"mclu: {place}: cannot read: no program writes to this FIFO\n"
    assert run('"$0" status', XDG_CONFIG_HOME=str(tmp_path)) == (2, "", error)
    assert run('"$0" -f /dev/zero status') == (2, "", "mclu: /dev/zero: cannot read: larger than 16M\n")


@pytest.mark.parametrize(
    "line",
    [
        f"\"$0\" -f <(printf '{CONFIG}') status",
        f"\"$0\" -f <(sleep 1; printf '{CONFIG}') status",
        f"printf '{CONFIG}' | \"$0\" -f /dev/stdin status",
        f"(sleep 1; printf '{CONFIG}') | \"$0\" -f /dev/stdin status",
    ],
)
def test_a_configuration_may_come_through_a_pipe(line: str) -> None:
    assert run(line)[:2] == (1, NODE)


def test_scripts_without_writer_or_end_are_errors(fifo: Path) -> None:
    assert run(f'"$0" --demo {fifo}') == (2, "", f"mclu: {fifo}: cannot read: no program writes to this FIFO\n")
    assert run('"$0" --demo /dev/zero') == (2, "", "mclu: /dev/zero: cannot read: larger than 16M\n")
    assert run('yes status | "$0" --demo -') == (2, "", "mclu: stdin: cannot read: larger than 16M\n")


@pytest.mark.parametrize("line", ['"$0" --demo <(echo status ham1)', 'echo status ham1 | "$0" --demo /dev/stdin'])
def test_a_script_may_come_through_a_pipe(line: str) -> None:
    assert run(line) == (0, "ham1 off\n", "")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("MCLU_PATH=$'a\\nb' \"$0\" --demo list --templates", "cannot read the directory: No such file or directory"),
        ("\"$0\" -f $'no\\nsuch' status", "no such: no configuration"),
        ("\"$0\" --demo $'./no\\nsuch.mclu'", "./no such.mclu: cannot read: No such file or directory"),
        ("\"$0\" --demo $'./no\\x1b[31m\\rsuch.mclu'", "./no [31m such.mclu: cannot read: No such file or directory"),
        ('"$0" --demo -c $\'status > "/no\\nsuch/x"\'', "/no such/x: cannot write: No such file or directory"),
        ("\"$0\" --demo boot $'ti\\nny' web", "no such template 'ti\\nny'"),
    ],
)
def test_an_error_is_one_line_whatever_its_path_is(line: str, error: str) -> None:
    _, _, err = run(line)
    assert err.startswith("mclu: ")
    assert error in err
    assert err.count("\n") == 1
    assert err[:-1].isprintable()
