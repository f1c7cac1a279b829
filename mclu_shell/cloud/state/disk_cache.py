"""The disk cache of the snapshot, for completion in a new shell and in the user's own shell.

Shells and one-shots write it after queries, readable by the user alone: to a temporary file, which is then renamed.
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

from mclu_shell.cloud.state.json_codec import MOST_CACHED_CHARACTERS, view_from_json
from mclu_shell.cloud.state.snapshot import NodeView, Snapshot
from mclu_shell.config import Config
from mclu_shell.files.private import private_directory, replace_file
from mclu_shell.files.trust import read_own_file
from mclu_shell.parsing.json_text import parse_json
from mclu_shell.parsing.limits import InvalidData
from mclu_shell.user_paths import xdg_directory

# Increase this number with each change of the format; files of another format are ignored.
_FORMAT = 3
# The delay after a change, so that many changes are written once.
_SETTLE_S = 2.0
# A process holds the lock for some milliseconds.
_LOCK_TIMEOUT_S, _LOCK_RETRY_S = 0.3, 0.005


def cache_file(config: Config) -> Path:
    """Return the cache file of a configuration; configurations with equal nodes share it."""
    return cache_directory() / f"{cache_key(config)}.json"


def cache_directory() -> Path:
    """Return the directory of mclu's caches."""
    return xdg_directory("XDG_CACHE_HOME", ".cache") / "mclu"


def cache_key(config: Config) -> str:
    """Return a name for the nodes of a configuration, independent of its file name and comments."""
    nodes = repr(config.nodes).encode()
    # hashlib would load OpenSSL, which takes longer than the rest. A collision is harmless: each configuration only
    # reads its own nodes from a shared file.
    return f"{zlib.crc32(nodes):08x}{zlib.adler32(nodes):08x}"


def save(snapshot: Snapshot, file: Path) -> bool:
    """Merge a snapshot into a cache file; return False if other processes held the lock until the timeout.

    Ignore errors in writing: a missing cache only costs time.
    """
    views = [view for view in snapshot.nodes if view.seen_at is not None]
    if views:
        with contextlib.suppress(OSError), _locked(private_directory(file.parent)) as is_locked:
            if is_locked:
                replace_file(file, _merge(views, load(file)).encode())
            return is_locked
    return True


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[bool]:
    """Lock a directory against other processes; yield False at the timeout."""
    lock = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield _try_lock(lock)
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    deadline = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOCK_RETRY_S)


def _merge(views: Sequence[NodeView], cached: Sequence[NodeView]) -> str:
    """Return the text of a cache file with the newer view of each node."""
    by_name = {view.name: view for view in cached}
    for view in views:
        by_name[view.name] = _merge_node(view, by_name[view.name]) if view.name in by_name else view
    nodes = [
        {
            "name": view.name,
            "seen_at": view.seen_at,
            "info": view.info and view.info._asdict(),
            "guests": view.guests,
        }
        for view in by_name.values()
    ]
    return json.dumps({"format": _FORMAT, "nodes": nodes})


def _merge_node(view: NodeView, cached: NodeView) -> NodeView:
    """Merge two views: take the newer, and keep guests and resources that it does not cover."""
    if view.age_s > cached.age_s:
        return cached
    uuids = {guest.uuid for guest in view.guests}
    others = [guest for guest in cached.guests if view.half == (not guest.is_active) and guest.uuid not in uuids]
    guests = tuple(sorted((*view.guests, *others), key=lambda guest: guest.name)) if others else view.guests
    return view._replace(guests=guests, info=view.info or cached.info)


def load(file: Path) -> tuple[NodeView, ...]:
    """Return the cached views, without the nodes' states; none if the file is missing or invalid."""
    try:
        return read_cache(read_own_file(file))
    except (OSError, InvalidData):
        return ()


def read_cache(text: bytes) -> tuple[NodeView, ...]:
    """Return the views in the text of a cache; raise InvalidData. A text of another format has none."""
    cache = parse_json(text, MOST_CACHED_CHARACTERS)
    try:
        return tuple([view_from_json(node) for node in cache["nodes"]]) if cache["format"] == _FORMAT else ()
    except (KeyError, TypeError) as error:
        raise InvalidData(f"not a cache ({error!r})") from None


class CacheWriter:
    """A thread that saves the snapshot two seconds after a change; `close` saves the last one."""

    def __init__(self, snapshot: Callable[[], Snapshot], file: Path) -> None:
        self._snapshot = snapshot
        self._file = file
        self._changed, self._closing = threading.Event(), threading.Event()
        threading.Thread(target=self._write, name="disk cache", daemon=True).start()

    def notify(self) -> None:
        """Schedule a save after a change."""
        self._changed.set()

    def close(self) -> None:
        """Save an unsaved change."""
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
