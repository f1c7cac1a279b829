from pathlib import Path

import pytest

from mclu_shell import command_loader, commands


def test_other_files_beside_commands_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore an editor's lock (a broken link), files of other systems, and compiled files."""
    (tmp_path / ".#status.py").symlink_to("nobody@nowhere.1")
    for name in ("._list.py", "status.py", "a_b.py", "__init__.py", "status.py~", "list.pyc", "4.py"):
        (tmp_path / name).touch()
    monkeypatch.setattr(commands, "__path__", [str(tmp_path)])
    assert command_loader.command_names.__wrapped__() == ["a-b", "status"]
