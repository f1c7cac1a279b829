"""mclu.conf as `init` writes it: new files, more nodes in an existing one, and failures that leave nothing."""

import os
from pathlib import Path

import pytest

from mclu_shell.cloud.discovery.config_file import NodeLine, open_config_file
from mclu_shell.config import NodeConfig, load_config
from mclu_shell.errors import MCluError, Refused

HAM1 = NodeLine(NodeConfig("ham1", mac="52:54:00:73:00:01", user="LAB\\ada", port=22), "it's eth0 [global]")
HAM3 = NodeLine(NodeConfig("ham3"), "off", active=False)


def write(path: Path, *lines: NodeLine) -> None:
    file = open_config_file(path)
    file.write(file.text_with(lines))


def test_a_new_file_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a/b/mclu.conf"
    write(path, HAM1, HAM3)
    assert load_config(path).nodes == (HAM1.config,)
    assert "#ham3 " in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o644
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["mclu.conf"]


@pytest.mark.parametrize(
    "before",
    [
        "[nodes]\nham0",
        "[nodes]\nham0\n[global] # defaults\nconnect_timeout=2\n",
        "",
        "# nothing\n",
        "\ufeff[nodes]\nham0\n",
    ],
)
def test_an_existing_file_keeps_its_lines_mode_and_link(tmp_path: Path, before: str) -> None:
    real, path = tmp_path / "dotfiles", tmp_path / "mclu.conf"
    real.write_text(before)
    real.chmod(0o600)
    path.symlink_to(real)
    write(path, HAM1)
    assert real.read_text().startswith(before.lstrip("\ufeff"))
    assert [node.name for node in load_config(path).nodes] == ["ham0", "ham1"][0 if "ham0" in before else 1 :]
    assert path.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600


def test_a_file_that_another_program_has_changed_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new/mclu.conf"
    file = open_config_file(path)
    path.parent.mkdir()
    path.write_text("[nodes]\nham7\n")
    with pytest.raises(Refused, match="another program has changed the file"):
        file.write(file.text_with([HAM1]))
    assert [file.name for file in path.parent.iterdir()] == ["mclu.conf"]
    assert path.read_text() == "[nodes]\nham7\n"


def test_a_failed_write_leaves_no_file_and_no_directory(tmp_path: Path) -> None:
    file = open_config_file(tmp_path / "a/b" / ("x" * 300))
    with pytest.raises(MCluError, match="File name too long"):
        file.write(file.text_with([HAM1]))
    assert list(tmp_path.glob("a*")) == []


def test_only_a_regular_valid_file_is_added_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "wrong").write_text("[nodes]\nham0 mac=1\n")
    (tmp_path / "binary").write_bytes(b"\xff")
    for name, reason in (("fifo", "not a regular file"), ("wrong", "bad mac"), ("binary", "not a text"), (".", "Is a")):
        with pytest.raises(MCluError, match=reason):
            open_config_file(tmp_path / name)
