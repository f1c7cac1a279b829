"""The private directory of this process for its sockets, and the removal of those of dead processes."""

import contextlib
import fcntl
import os
import stat
import threading
import time
from pathlib import Path

from mclu_shell.config import Config
from mclu_shell.errors import MCluError
from mclu_shell.files.private import temporary_directory
from mclu_shell.user_paths import runtime_directory

_PREFIX = "mclu-run-"
# The path of a unix socket has at most 108 bytes (unix(7)).
_LONGEST_PARENT = 60
# The process that made a younger directory may not have locked it yet.
_YOUNG_S = 10.0


class RunDirectory:
    """A directory of mode 0700, created on first use and locked until this process ends."""

    def __init__(self) -> None:
        self._parent = _parent()
        self._path: Path | None = None
        self._lock = threading.Lock()
        self._is_removed = False

    @property
    def path(self) -> Path:
        """The path; MCluError if the directory cannot be created, or was removed."""
        # Threads of several nodes may ask for it at the same time.
        with self._lock:
            if self._is_removed:
                raise MCluError("mclu is exiting")
            self._path = self._path or _create(self._parent)
            return self._path

    def others(self) -> list[Path]:
        """Return the directories of this user's other processes, including dead ones."""
        return [path for path in _directories(self._parent) if path != self._path]

    def remove(self) -> None:
        """Remove the directory with its files; a second call does nothing."""
        with self._lock:
            self._is_removed = True
        if self._path is not None:
            _remove(self._path)


def _create(parent: Path) -> Path:
    _remove_abandoned(parent)
    try:
        path = temporary_directory(_PREFIX, parent)
        # The kernel releases the lock when this process ends.
        fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)
    except OSError as error:
        message = f"cannot create a directory for sockets: {error.strerror}"
        remedy = "set XDG_RUNTIME_DIR to a directory that you can write to"
        raise MCluError(message, place=str(parent), remedy=remedy) from error
    return path


def _remove(path: Path) -> None:
    import shutil

    # Another thread may still create a socket there, which would make rmtree fail; the new name prevents that.
    gone = path.with_name(f"{path.name}-gone")
    with contextlib.suppress(OSError):
        path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _directories(parent: Path) -> list[Path]:
    return [path for path in parent.glob(f"{_PREFIX}*") if _is_private(path)]


def _is_private(path: Path) -> bool:
    with contextlib.suppress(OSError):
        status = path.lstat()
        return status.st_uid == os.getuid() and stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o077
    return False


def _parent() -> Path:
    runtime = runtime_directory()
    # $TMPDIR may be too long.
    return runtime if runtime is not None and len(str(runtime)) < _LONGEST_PARENT else Path("/tmp")


def _remove_abandoned(parent: Path) -> None:
    """Remove the directories of processes that were killed."""
    for path in _directories(parent):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > _YOUNG_S:
                _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    import shutil

    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path)
    finally:
        os.close(descriptor)


def socket_paths(config: Config, directory: Path) -> dict[str, Path]:
    """Return the path of each node's socket in a run-time directory; numbers keep the paths short."""
    return {node.name: directory / socket_name(i) for i, node in enumerate(config.nodes)}


def socket_name(number: int) -> str:
    """Return the file name of a node's socket."""
    return f"{number}.sock"
