import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mclu_shell.cloud.borrowed import cut_connections
from mclu_shell.cloud.rundir import RunDirectory
from mclu_shell.cloud.share import Share
from mclu_shell.cloud.shared import Shared, find_shared
from mclu_shell.config import parse_config

CONFIG = parse_config("[nodes]\nham0\nham1 user=me", Path("x.conf"))
OTHER = parse_config("[nodes]\nham0\nham1 user=you", Path("x.conf"))


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, short_directory: Path) -> Iterator[RunDirectory]:
    """The run-time directory of a shell that shares its connections."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_directory))
    directory = RunDirectory()
    share = Share(CONFIG, directory.path, {"ham0": directory.path / "0.sock"}, [])
    yield directory
    share.close()
    directory.remove()


def listen(path: Path) -> None:
    """Leave a socket there."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    path.chmod(0o600)


def test_a_one_shot_finds_the_sockets_of_a_shell(shell: RunDirectory) -> None:
    listen(shell.path / "0.sock")
    one_shot = RunDirectory()
    assert find_shared(CONFIG, one_shot.others()) == {"ham0": Shared(shell.path / "0.sock", shell.path / "ask.sock")}
    one_shot.remove()
    for file in shell.path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_of_several_shells_it_takes_what_each_has(shell: RunDirectory) -> None:
    """Not every shell is connected to every node: it may be the other that was told a passphrase."""
    other = RunDirectory()
    share = Share(CONFIG, other.path, {name: other.path / f"{name}.sock" for name in ("ham0", "ham1")}, [])
    listen(other.path / "ham1.sock")
    here = {"ham1": Shared(other.path / "ham1.sock", other.path / "ask.sock")}
    assert find_shared(CONFIG, [shell.path, other.path]) == here
    listen(shell.path / "0.sock")
    both = find_shared(CONFIG, [shell.path, other.path])
    assert {name: shared.libvirt for name, shared in both.items()} == {
        "ham0": shell.path / "0.sock",
        "ham1": other.path / "ham1.sock",
    }
    share.close()
    other.remove()


def test_another_configuration_does_not(shell: RunDirectory) -> None:
    listen(shell.path / "0.sock")
    assert find_shared(OTHER, [shell.path]) == {}


def test_nor_does_anybody_when_others_could_have_made_them(shell: RunDirectory) -> None:
    shell.path.chmod(0o770)
    one_shot = RunDirectory()
    assert find_shared(CONFIG, one_shot.others()) == {}
    one_shot.remove()


def test_what_a_dead_shell_has_left_is_not_used(monkeypatch: pytest.MonkeyPatch, short_directory: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_directory))
    directory = RunDirectory()
    Share(CONFIG, directory.path, {"ham0": directory.path / "0.sock"}, []).close()
    assert find_shared(CONFIG, [directory.path]) == {}
    (directory.path / "share.json").write_text("{")
    assert find_shared(CONFIG, [directory.path]) == {}


def test_cutting_ends_the_connections_to_one_socket_alone(short_directory: Path) -> None:
    paths = [short_directory / "a", short_directory / "b"]
    listeners = [socket.socket(socket.AF_UNIX) for _ in paths]
    for listener, path in zip(listeners, paths, strict=True):
        listener.bind(str(path))
        listener.listen()
    ends = [socket.socket(socket.AF_UNIX) for _ in paths]
    for end, path in zip(ends, paths, strict=True):
        end.connect(str(path))
        end.settimeout(0.2)
    cut_connections(paths[0])
    assert ends[0].recv(1) == b""
    with pytest.raises(TimeoutError):
        ends[1].recv(1)
    for each in (*listeners, *ends):
        each.close()
