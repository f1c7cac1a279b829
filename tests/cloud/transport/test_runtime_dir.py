import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mclu_shell.cloud.transport.runtime_dir import RunDirectory
from mclu_shell.errors import MCluError

# Print the directory, then keep running.
HOLDER = (
    "from mclu_shell.cloud.transport.runtime_dir import RunDirectory; print(RunDirectory().path, flush=True); input()"
)


@pytest.fixture
def runtime(short_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run-time directory with a short path, like that of a login session."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_directory))
    return short_directory


def holder() -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def place_of(process: "subprocess.Popen[str]") -> Path:
    """Return a holder's directory, with an old modification time."""
    assert process.stdout
    path = Path(process.stdout.readline().strip())
    (path / "0.sock").touch()
    os.utime(path, (0, 0))
    return path


def test_the_directory_is_private_and_removed_at_the_end(runtime: Path) -> None:
    directory = RunDirectory()
    assert directory.path.parent == runtime
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    (directory.path / "0.sock").touch()
    directory.remove()
    directory.remove()
    assert list(runtime.iterdir()) == []


def test_directories_of_killed_processes_are_removed_and_those_in_use_are_not(runtime: Path) -> None:
    with holder() as dead, holder() as alive:
        left, kept = place_of(dead), place_of(alive)
        (left / "0.sock").touch()
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert left.exists()
        mine = RunDirectory()
        ours = mine.path
        assert sorted(runtime.iterdir()) == sorted([kept, ours])
        mine.remove()
        alive.kill()


def test_files_of_others_are_not_removed(runtime: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (runtime / "mclu-run-link").symlink_to(target)
    (runtime / "mclu-run-file").touch()
    (runtime / "mclu-lab-0").mkdir()
    for path in runtime.iterdir():
        os.utime(path, (0, 0), follow_symlinks=False)
    before = sorted(runtime.iterdir())
    directory = RunDirectory()
    mine = directory.path
    assert sorted(runtime.iterdir()) == sorted([*before, mine])
    directory.remove()
    assert sorted(runtime.iterdir()) == before


def test_a_directory_that_cannot_be_created_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc")
    with pytest.raises(MCluError, match=r"^/proc: cannot create a directory for sockets: "):
        _ = RunDirectory().path


def test_the_directory_is_created_only_on_use(runtime: Path) -> None:
    directory = RunDirectory()
    assert directory.others() == []
    directory.remove()
    assert list(runtime.iterdir()) == []


def test_the_directory_is_not_created_again_after_its_removal(runtime: Path) -> None:
    """A late thread would otherwise leave a new directory behind."""
    directory = RunDirectory()
    directory.remove()
    with pytest.raises(MCluError, match="mclu is exiting"):
        _ = directory.path
    assert list(runtime.iterdir()) == []
