"""The snapshot on disk, so that a new shell completes at once, and the user's own shell can.

Shells and one-shots keep there what they hear: written aside and swapped, for its owner alone.
"""

import contextlib
import fcntl
import json
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mclu_shell.cloud.state.guest import NodeInfo
from mclu_shell.cloud.state.json_codec import guests_from_json
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase, Snapshot
from mclu_shell.config import Config

# A change of what is written changes this; what another version has written is not read.
_FORMAT = 2
# Many changes in a row are written once.
_SETTLE_S = 2.0
# How long others may write; it takes them milliseconds.
_PATIENCE_S, _PAUSE_S = 0.3, 0.005


def cache_file(config: Config) -> Path:
    """Where the snapshot of a configuration is kept: of the same nodes, reached in the same ways."""
    return cache_directory() / f"{cache_key(config)}.json"


def cache_directory() -> Path:
    """Return the directory of what mclu keeps from one run to the next."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mclu"


def cache_key(config: Config) -> str:
    """A name for what a configuration says of its nodes; the same wherever that stands."""
    told = repr(config.nodes).encode()
    # hashlib would bring all of OpenSSL, and take longer than all the rest; two configurations that are taken for one
    # only have the same file, in which each looks for its own nodes.
    return f"{zlib.crc32(told):08x}{zlib.adler32(told):08x}"


def save(snapshot: Snapshot, file: Path) -> bool:
    """Keep what is known, unless another process knows better; False if others had the file for too long.

    Where it cannot be written, nothing is lost but time.
    """
    seen = [view for view in snapshot.nodes if view.seen_at is not None]
    if seen:
        with contextlib.suppress(OSError):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone_in(file.parent) as is_alone:
                if is_alone:
                    replace_file(file, _text(seen, load(file)))
                return is_alone
    return True


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[bool]:
    """Keep other processes from writing there, unless one does so for too long."""
    lock = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield _has_locked(lock)
    finally:
        os.close(lock)


def _has_locked(lock: int) -> bool:
    end = time.monotonic() + _PATIENCE_S
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE_S)


def _text(seen: Sequence[NodeView], kept: Sequence[NodeView]) -> str:
    """Both as they are written: of each node, what is newer."""
    views = {view.name: view for view in kept}
    for view in seen:
        views[view.name] = _newer(view, views[view.name]) if view.name in views else view
    nodes = [
        {
            "name": view.name,
            "seen_at": view.seen_at,
            "info": view.info and view.info._asdict(),
            "guests": view.guests,
        }
        for view in views.values()
    ]
    return json.dumps({"format": _FORMAT, "nodes": nodes})


def _newer(view: NodeView, kept: NodeView) -> NodeView:
    """What is newer, with what that says nothing of."""
    if view.age_s > kept.age_s:
        return kept
    there = {guest.uuid for guest in view.guests}
    unsaid = [guest for guest in kept.guests if view.half == (not guest.is_active) and guest.uuid not in there]
    guests = tuple(sorted((*view.guests, *unsaid), key=lambda guest: guest.name)) if unsaid else view.guests
    return view._replace(guests=guests, info=view.info or kept.info)


def replace_file(file: Path, text: str) -> None:
    """Write a file aside and swap it in, readable by its owner alone."""
    # Whoever only reads does without it.
    import tempfile

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


class CacheWriter:
    """Saves a snapshot some time after it has changed, and at the end."""

    def __init__(self, snapshot: Callable[[], Snapshot], file: Path) -> None:
        self._snapshot = snapshot
        self._file = file
        self._changed, self._closing = threading.Event(), threading.Event()
        threading.Thread(target=self._write, name="disk cache", daemon=True).start()

    def changed(self) -> None:
        """There is something to save."""
        self._changed.set()

    def close(self) -> None:
        """Save what has not been saved yet."""
        self._closing.set()
        if self._changed.is_set():
            save(self._snapshot(), self._file)

    def _write(self) -> None:
        while not self._closing.is_set():
            self._changed.wait()
            if self._closing.wait(_SETTLE_S):
                return
            self._changed.clear()
            if not save(self._snapshot(), self._file):
                self._changed.set()
