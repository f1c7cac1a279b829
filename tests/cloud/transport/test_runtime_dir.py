import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mclu_shell.cloud.transport.runtime_dir import RunDirectory
from mclu_shell.errors import MCluError

# Says where it is, and lives on.
HOLDER = (
    "from mclu_shell.cloud.transport.runtime_dir import RunDirectory; print(RunDirectory().path, flush=True); input()"
)


@pytest.fixture
def runtime(short_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run-time directory as a login gives one: with a short path."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_directory))
    return short_directory


def holder() -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def place_of(process: "subprocess.Popen[str]") -> Path:
    """Where a holder's directory is, once it has one; made to look old."""
    assert process.stdout
    path = Path(process.stdout.readline().strip())
    (path / "0.sock").touch()
    os.utime(path, (0, 0))
    return path


def test_it_is_private_and_goes(runtime: Path) -> None:
    directory = RunDirectory()
    assert directory.path.parent == runtime
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    (directory.path / "0.sock").touch()
    directory.remove()
    directory.remove()
    assert list(runtime.iterdir()) == []


def test_what_a_killed_process_has_left_is_swept_away_and_what_is_in_use_is_not(runtime: Path) -> None:
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


def test_what_is_not_ours_is_left_alone(runtime: Path, tmp_path: Path) -> None:
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


def test_where_none_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/proc")
    with pytest.raises(MCluError, match=r"^/proc: cannot create a directory for sockets: "):
        _ = RunDirectory().path


def test_what_needs_none_makes_none(runtime: Path) -> None:
    directory = RunDirectory()
    assert directory.others() == []
    directory.remove()
    assert list(runtime.iterdir()) == []


def test_once_it_is_removed_none_is_made(runtime: Path) -> None:
    """A thread that is late would leave it behind."""
    directory = RunDirectory()
    directory.remove()
    with pytest.raises(MCluError, match="mclu is exiting"):
        _ = directory.path
    assert list(runtime.iterdir()) == []
