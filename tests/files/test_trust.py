"""Paths that other users of this machine can change, with real owners and permissions."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.config import find_config
from mclu_shell.errors import ConfigError
from mclu_shell.files.trust import Foreign, Untrusted, read_own_file, trusted_path
from mclu_shell.user_paths import find_home, runtime_directory, xdg_directory

OTHER = 2
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a" / "b" / "file"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    return path


def test_a_file_of_the_user_is_read(file: Path) -> None:
    assert trusted_path(file) == file
    assert read_own_file(file) == b"mine"


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o775 | 0o2000])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_file_is_not_read_if_other_users_can_change_it_or_a_directory_above(
    file: Path, mode: int, depth: int
) -> None:
    changed = [file, *file.parents][depth]
    # A group that is not the user's own, if this user can have one.
    os.chown(changed, -1, 1 if os.geteuid() == 0 else -1)
    changed.chmod(mode if os.geteuid() == 0 else mode | 0o002)
    with pytest.raises(Untrusted, match=f"other users can write to {changed}"):
        read_own_file(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="the group of root is its own on all distributions")
def test_a_group_of_the_user_alone_may_write(file: Path) -> None:
    file.chmod(0o660)
    file.parent.chmod(0o770)
    assert read_own_file(file) == b"mine"


def test_a_sticky_directory_protects_the_files_of_each_user(file: Path) -> None:
    file.parent.chmod(0o1777)
    assert read_own_file(file) == b"mine"


@root_only
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_file_is_not_read_if_it_or_a_directory_above_belongs_to_another_user(file: Path, depth: int) -> None:
    os.chown([file, *file.parents][depth], OTHER, OTHER)
    with pytest.raises(Foreign, match="belongs to the user bin"):
        read_own_file(file)


def test_own_links_are_followed(file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a/../a")
    (tmp_path / "a" / "up").symlink_to(tmp_path / "link" / "b")
    assert trusted_path(tmp_path / "link" / "up" / "file") == file


@root_only
def test_a_link_of_another_user_is_not_followed(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    os.chown(link, OTHER, OTHER, follow_symlinks=False)
    with pytest.raises(Foreign):
        read_own_file(link)


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        trusted_path(tmp_path / "a")


@root_only
@pytest.mark.parametrize("below", ["", ".config", "new/directory"])
def test_directories_of_another_user_in_the_environment_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, below: str
) -> None:
    """As with `sudo -E`, which keeps HOME and the XDG variables."""
    theirs = tmp_path / "theirs"
    (theirs / ".config").mkdir(parents=True)
    os.chown(theirs, OTHER, OTHER)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(theirs / below))
    assert find_home() == Path("/root")
    assert xdg_directory("XDG_CONFIG_HOME", ".config") == Path("/root/.config")
    assert runtime_directory() is None


@pytest.mark.parametrize("variable", ["MCLU_CONFIG", "XDG_CONFIG_HOME"])
def test_a_configuration_that_others_can_write_is_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    file = tmp_path / "mclu" / "mclu.conf"
    file.parent.mkdir()
    file.write_text("[nodes]\nham0\n")
    file.chmod(0o666)
    monkeypatch.setenv(variable, str(file if variable == "MCLU_CONFIG" else tmp_path))
    with pytest.raises(ConfigError) as raised:
        find_config(None)
    assert str(raised.value) == f"{file}: not read: other users can write to {file}; run 'chmod go-w {file}'"
    # As `ssh -F`.
    assert find_config(str(file)) == file
    file.chmod(0o644)
    assert find_config(None) == file


@root_only
def test_a_template_directory_of_another_user_is_not_used(mclu: Callable[..., object], tmp_path: Path) -> None:
    directory = tmp_path / "templates"
    directory.mkdir()
    template = directory / "evil.template"
    template.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    template.chmod(0o755)
    os.chown(directory, OTHER, OTHER)
    answer = mclu("--demo", "list", "--templates", env={"MCLU_PATH": str(directory)})
    assert answer.err == (  # type: ignore[attr-defined]
        f"mclu: {directory}: not used: {directory} belongs to the user bin; use a file and directory of your own\n"
    )
    assert not (tmp_path / "ran").exists()
