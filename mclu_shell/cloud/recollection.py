"""The snapshot on disk, so that a new shell completes at once: written aside and swapped, for its owner alone."""

import contextlib
import hashlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mclu_shell.cloud.guest import NodeInfo
from mclu_shell.cloud.spoken import guests_as_json, guests_from_json
from mclu_shell.cloud.state import NodeState, NodeView, Phase, Snapshot
from mclu_shell.config import Config

# A change of what is written changes this; what another version has written is not read.
_FORMAT = 2
# Many changes in a row are written once.
_SETTLE_S = 2.0


def recollection_file(config: Config) -> Path:
    """Where the snapshot of a configuration is kept: of the same nodes, reached in the same ways."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mclu" / f"{config_identity(config)}.json"


def config_identity(config: Config) -> str:
    """A name for what a configuration says of its nodes; the same wherever that stands."""
    return hashlib.sha256(repr(config.nodes).encode()).hexdigest()[:16]


def save(snapshot: Snapshot, file: Path) -> None:
    """Keep what is known; where that cannot be written, nothing is lost but time."""
    nodes = [
        {
            "name": view.name,
            "seen_at": view.seen_at,
            "info": view.info and asdict(view.info),
            "guests": guests_as_json(view.guests),
        }
        for view in snapshot.nodes
        if view.seen_at is not None
    ]
    if nodes:
        with contextlib.suppress(OSError):
            _replace(file, json.dumps({"format": _FORMAT, "nodes": nodes}))


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp gives mode 0600.
    descriptor, aside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem}-")
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123
            stream.write(text)
        os.replace(aside, file)  # noqa: PTH105
    except OSError:
        os.unlink(aside)  # noqa: PTH108
        raise


def load(file: Path) -> tuple[NodeView, ...]:
    """What was known, with the states unknown; nothing where there is no such file, or not one of ours."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        return tuple(_view(node) for node in said["nodes"]) if said["format"] == _FORMAT else ()
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _view(node: dict[str, Any]) -> NodeView:
    info = NodeInfo(**node["info"]) if node["info"] else None
    state = NodeState(Phase.UNSEEN, time.monotonic())
    return NodeView(node["name"], state, guests_from_json(node["guests"]), info, float(node["seen_at"]))


class Recorder:
    """Saves a snapshot some time after it has changed, and at the end."""

    def __init__(self, snapshot: Callable[[], Snapshot], file: Path) -> None:
        self._snapshot = snapshot
        self._file = file
        self._changed, self._closing = threading.Event(), threading.Event()
        threading.Thread(target=self._record, name="recollection", daemon=True).start()

    def changed(self) -> None:
        """There is something to save."""
        self._changed.set()

    def close(self) -> None:
        """Save what has not been saved yet."""
        self._closing.set()
        if self._changed.is_set():
            save(self._snapshot(), self._file)

    def _record(self) -> None:
        while not self._closing.is_set():
            self._changed.wait()
            if self._closing.wait(_SETTLE_S):
                return
            self._changed.clear()
            save(self._snapshot(), self._file)
