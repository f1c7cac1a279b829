import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mclu_shell.cloud.state.disk_cache import CacheWriter, cache_file, cache_key, load, save
from mclu_shell.cloud.state.guest import Guest, NodeInfo
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase, Snapshot
from mclu_shell.config import Config, parse_config
from tests.support.mclu import InProcess
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]

GUESTS = (
    Guest("ham0", "web", "u1", "running", 1 << 30, 2, ("10.0.0.9",)),
    Guest("ham0", "wéird 'name'", "u2", "shut off", 1 << 29, 1),
)
SEEN = NodeView("ham0", NodeState(Phase.ON, 0.0), GUESTS, NodeInfo(8, 32 << 30, 16 << 30), 1234.5)
NEVER = NodeView("ham1", NodeState(Phase.OFF, 0.0))


def config(text: str, path: str = "x.conf") -> Config:
    return parse_config(text, Path(path))


def test_a_saved_view_is_loaded_without_its_state(tmp_path: Path) -> None:
    file = tmp_path / "a/b/x.json"
    save(Snapshot((SEEN, NEVER)), file)
    (view,) = load(file)
    assert (view.name, view.guests, view.info, view.seen_at) == ("ham0", GUESTS, SEEN.info, 1234.5)
    assert view.state.phase == Phase.UNSEEN


def test_the_file_is_private_and_replaced_atomically(tmp_path: Path) -> None:
    file = tmp_path / "mclu/x.json"
    for _ in range(2):
        save(Snapshot((SEEN,)), file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_an_unknown_view_is_not_saved(tmp_path: Path) -> None:
    save(Snapshot((NEVER,)), tmp_path / "x.json")
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": 99, "nodes": []}',
        '{"format": 2}',
        '{"format": 2, "nodes": [{"name": "x"}]}',
        '{"format": 2, "nodes": [{"name": "x", "seen_at": 1, "info": null, "guests": [{"node": "x", "name": "y"}]}]}',
        '{"format": 2, "nodes": [{"name": "x", "seen_at": 1, "info": null, "guests": [["x", "y", []]]}]}',
        '{"format": 2, "nodes": [{"name": "x", "seen_at": 1, "info": null, "guests": ["abcdefg"]}]}',
    ],
)
def test_an_invalid_file_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    assert load(tmp_path / "x.json") == ()


def seen(name: str, at: float, *guests: Guest, half: bool | None = None, info: NodeInfo | None = None) -> Snapshot:
    return Snapshot((NodeView(name, NodeState(Phase.ON, 0.0), guests, info, at, half),))


class TestSeveralProcesses:
    WEB, DB = GUESTS

    def test_views_of_other_nodes_are_kept(self, tmp_path: Path) -> None:
        file = tmp_path / "x.json"
        save(seen("ham0", 1.0, self.WEB), file)
        save(seen("ham1", 2.0, self.DB), file)
        assert {view.name: view.guests for view in load(file)} == {"ham0": (self.WEB,), "ham1": (self.DB,)}

    def test_an_older_answer_does_not_replace_a_newer_one(self, tmp_path: Path) -> None:
        file = tmp_path / "x.json"
        for at, guest in ((2.0, self.WEB), (1.0, self.DB)):
            save(seen("ham0", at, guest), file)
        assert [(view.seen_at, view.guests) for view in load(file)] == [(2.0, (self.WEB,))]

    def test_a_view_of_one_half_keeps_the_other(self, tmp_path: Path) -> None:
        file = tmp_path / "x.json"
        info = NodeInfo(8, 32 << 30, 16 << 30)
        save(seen("ham0", 1.0, self.WEB, self.DB, info=info), file)
        new = self.WEB._replace(name="new", uuid="u3")
        save(seen("ham0", 2.0, new, half=True), file)
        (view,) = load(file)
        # The newer view covers the running guests: web is gone.
        assert (view.guests, view.info) == ((new, self.DB), info)
        started = self.DB._replace(state="running")
        save(seen("ham0", 3.0, started, half=True), file)
        assert load(file)[0].guests == (started,)

    def test_parallel_saves_lose_nothing(self, tmp_path: Path) -> None:
        file = tmp_path / "x.json"
        code = (
            "import sys; from pathlib import Path\n"
            "from tests.cloud.state.test_disk_cache import GUESTS, save, seen\n"
            "for i in range(20): assert save(seen(sys.argv[1] + str(i), 1.0, *GUESTS), Path(sys.argv[2]))"
        )
        writers = [subprocess.Popen([sys.executable, "-c", code, name, file], cwd=ROOT) for name in ("a", "b", "c")]
        assert [writer.wait(60) for writer in writers] == [0, 0, 0]
        assert {view.name for view in load(file)} == {f"{name}{i}" for name in "abc" for i in range(20)}

    def test_a_process_that_holds_the_lock_does_not_block_others(self, tmp_path: Path) -> None:
        file = tmp_path / "x.json"
        directory = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(directory, fcntl.LOCK_EX)
        assert not save(seen("ham0", 1.0, self.WEB), file)
        os.close(directory)
        assert save(seen("ham0", 1.0, self.WEB), file)
        assert load(file)


def test_one_shots_save_the_answers_of_nodes(clouds: Callable[..., InProcess], tmp_path: Path) -> None:
    parsed = config("[nodes]\nham0 via=local uri=test:///default")
    for line in ("status", "list --active"):
        cloud = clouds("[nodes]\nham0 via=local uri=test:///default")
        assert cloud(line).status == 0
        cloud.session.close()
        (view,) = load(cache_file(parsed))
        assert ([guest.name for guest in view.guests], view.info is None) == (["test"], False)
    assert cache_file(parsed).is_relative_to(tmp_path)


def test_a_directory_that_is_not_writable_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    save(Snapshot((SEEN,)), tmp_path / "file/x.json")
    assert load(tmp_path / "file/x.json") == ()


def test_each_configuration_has_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, same = config("[nodes]\nham0 user=a"), config("# the same\n[nodes]\nham0 user=a", "y.conf")
    other = config("[nodes]\nham0 user=b")
    assert cache_key(one) == cache_key(same) != cache_key(other)
    assert cache_file(one).parent == tmp_path / "mclu"


def test_changes_are_saved_soon_and_when_closed(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    writer = CacheWriter(lambda: Snapshot((SEEN,)), file)
    writer.notify()
    assert eventually(file.exists, 10)
    file.unlink()
    writer.close()
    assert not file.exists()
    last = CacheWriter(lambda: Snapshot((SEEN,)), file)
    last.notify()
    last.close()
    assert file.exists()
