"""Everything that mclu creates, with every kind of umask, beside another user's links."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mclu_shell.cloud.transport.openssh.askpass import AskpassServer
from mclu_shell.files.private import private_directory, private_file, replace_file
from mclu_shell.files.trust import Foreign
from tests.shell.terminal import CTRL_D, Terminal

OTHER = 2


@pytest.fixture(params=[0o000, 0o077, 0o777], ids=oct)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(*roots: Path) -> dict[str, str]:
    """Return the permissions of everything that others than its owner may use, by name."""
    paths = [path for root in roots for path in (root, *root.rglob("*"))]
    status = {path: path.lstat().st_mode for path in paths if not path.is_symlink()}
    return {str(path): stat.filemode(mode) for path, mode in status.items() if mode & 0o077 or not mode & 0o400}


@pytest.mark.usefixtures("_umask")
def test_directories_files_and_sockets_are_private_with_any_umask(tmp_path: Path, short_directory: Path) -> None:
    private_directory(tmp_path / "a/b/c")
    private_file(tmp_path / "d/e/history")
    replace_file(tmp_path / "f/g/cache", b"x")
    with AskpassServer(short_directory / "ask"):
        found = modes(tmp_path / "a", tmp_path / "d", tmp_path / "f", *short_directory.iterdir())
    assert found == {}
    assert (tmp_path / "f/g/cache").read_bytes() == b"x"


@pytest.mark.parametrize("umask", ["000", "077"])
def test_all_files_of_a_shell_are_private_with_any_umask(
    mclu: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: str
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    config = tmp_path / "mclu.conf"
    config.write_text("[nodes]\nham0 via=local uri=test:///default\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    before = os.umask(int(umask, 8))
    try:
        mclu("--install-completion=bash")
        with closing(Terminal("-f", str(config))) as shell:
            shell.run("list")
            assert modes(home, runtime) == {}
            shell.type(CTRL_D)
            assert shell.status() == 0
    finally:
        os.umask(before)
    names = {path.name for path in home.rglob("*") if path.is_file()}
    assert {"mclu", "history"} <= names
    assert any(name.endswith(".json") for name in names)
    assert modes(home, runtime) == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
@pytest.mark.parametrize("create", [private_file, lambda path: replace_file(path, b"x"), private_directory])
@pytest.mark.parametrize("place", ["link", "directory/file", "link/file"])
def test_another_users_link_is_not_written_through(
    create: Callable[[Path], object], tmp_path: Path, place: str
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "file").symlink_to(target / "file")
    (tmp_path / "link").symlink_to(target)
    os.chown(tmp_path / "link", OTHER, OTHER, follow_symlinks=False)
    os.chown(tmp_path / "directory", OTHER, OTHER)
    with pytest.raises(Foreign):
        create(tmp_path / place)
    assert list(target.iterdir()) == []


def test_an_own_link_is_kept(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "file").symlink_to("dotfiles/file")
    replace_file(tmp_path / "file", b"x")
    assert (tmp_path / "file").is_symlink()
    assert (tmp_path / "dotfiles/file").read_bytes() == b"x"
