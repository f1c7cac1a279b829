"""The private directory that this process has for its sockets, and what is left of those of dead ones."""

import contextlib
import fcntl
import os
import stat
import threading
import time
from pathlib import Path

from mclu_shell.config import Config
from mclu_shell.errors import MCluError

_PREFIX = "mclu-run-"
# The path of a unix socket may have 108 bytes in all (unix(7)).
_LONGEST_PARENT = 60
# So young a directory may not be locked yet by who has made it.
_YOUNG_S = 10.0


class RunDirectory:
    """A directory of mode 0700, made when it is first needed, and locked as long as this process lives."""

    def __init__(self) -> None:
        self._parent = _parent()
        self._made: Path | None = None
        self._making = threading.Lock()
        self._is_removed = False

    @property
    def path(self) -> Path:
        """Where it is; MCluError if it cannot be made, or has been removed."""
        # A one-shot may need it in the threads of several nodes, or not at all.
        with self._making:
            if self._is_removed:
                raise MCluError("mclu is about to end")
            self._made = self._made or _make(self._parent)
            return self._made

    def others(self) -> list[Path]:
        """Those of other processes of this user, dead ones perhaps among them."""
        return [path for path in _directories(self._parent) if path != self._made]

    def remove(self) -> None:
        """Remove it with all that is in it; again does nothing."""
        with self._making:
            self._is_removed = True
        if self._made is not None:
            _remove(self._made)


def _make(parent: Path) -> Path:
    # This takes some milliseconds to import, which a one-shot beside an open shell does not need.
    import tempfile

    _sweep(parent)
    try:
        # mkdtemp gives mode 0700 (its documentation promises it).
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    except OSError as error:
        told = f"no directory can be made there for sockets: {error.strerror}"
        raise MCluError(told, place=str(parent)) from error
    # Whatever ends this process, its end gives the lock up.
    fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)
    return path


def _remove(path: Path) -> None:
    import shutil

    # What a thread still makes there would come between: renamed, it is found by none.
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
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    usable = runtime and len(runtime) < _LONGEST_PARENT and os.access(runtime, os.W_OK)
    # Not below $TMPDIR, which may be long.
    return Path(runtime if usable else "/tmp")


def _sweep(parent: Path) -> None:
    """Remove directories of ours whose process has been killed before it could."""
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
    """Where the sockets of nodes are in a run-time directory: short, as they must be."""
    return {node.name: directory / socket_name(i) for i, node in enumerate(config.nodes)}


def socket_name(number: int) -> str:
    return f"{number}.sock"
