import stat
import threading
import time
from pathlib import Path

import pytest

from mclu_shell.cloud.guest import Guest, NodeInfo
from mclu_shell.cloud.recollection import Recorder, config_identity, load, recollection_file, save
from mclu_shell.cloud.state import NodeState, NodeView, Phase, Snapshot
from mclu_shell.config import Config, parse_config

GUESTS = (
    Guest("ham0", "web", "u1", "running", 1 << 30, 2, ("10.0.0.9",)),
    Guest("ham0", "wéird 'name'", "u2", "shut off", 1 << 29, 1),
)
SEEN = NodeView("ham0", NodeState(Phase.ON, 0.0), GUESTS, NodeInfo(8, 32 << 30, 16 << 30), 1234.5)
NEVER = NodeView("ham1", NodeState(Phase.OFF, 0.0))


def config(text: str, path: str = "x.conf") -> Config:
    return parse_config(text, Path(path))


def test_what_is_saved_is_what_is_read_without_its_state(tmp_path: Path) -> None:
    file = tmp_path / "a/b/x.json"
    save(Snapshot((SEEN, NEVER)), file)
    (view,) = load(file)
    assert (view.name, view.guests, view.info, view.seen_at) == ("ham0", GUESTS, SEEN.info, 1234.5)
    assert view.state.phase == Phase.UNSEEN


def test_it_is_for_its_owner_alone_and_swapped_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "mclu/x.json"
    for _ in range(2):
        save(Snapshot((SEEN,)), file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_where_nothing_is_known_nothing_is_written(tmp_path: Path) -> None:
    save(Snapshot((NEVER,)), tmp_path / "x.json")
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 99, "nodes": []}', '{"format": 2}', '{"format": 2, "nodes": [{"name": "x"}]}']
)
def test_what_is_no_snapshot_is_not_believed(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    assert load(tmp_path / "x.json") == ()


def test_a_directory_that_cannot_be_written_to_disturbs_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    save(Snapshot((SEEN,)), tmp_path / "file/x.json")
    assert load(tmp_path / "file/x.json") == ()


def test_each_configuration_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, same = config("[nodes]\nham0 user=a"), config("# the same\n[nodes]\nham0 user=a", "y.conf")
    other = config("[nodes]\nham0 user=b")
    assert config_identity(one) == config_identity(same) != config_identity(other)
    assert recollection_file(one).parent == tmp_path / "mclu"


def test_changes_are_saved_soon_and_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    recorder = Recorder(lambda: Snapshot((SEEN,)), file)
    recorder.changed()
    deadline = time.monotonic() + 10
    while not file.exists():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)
    file.unlink()
    recorder.close()
    assert not file.exists()
    last = Recorder(lambda: Snapshot((SEEN,)), file)
    last.changed()
    last.close()
    assert file.exists()
