"""Files and directories that mclu creates on this machine: for this user only, with any umask.

A path is checked first (`trusted_path`), so nothing is written through another user's symbolic link.
"""

import os
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from mclu_shell.files.trust import trusted_path

if TYPE_CHECKING:
    import socket

_DIRECTORY_MODE, _FILE_MODE, PROGRAM_MODE = 0o700, 0o600, 0o700
_BACKLOG = 128


def private_directory(path: Path) -> Path:
    """Return a directory's path without symbolic links; create it, and the directories above it, where missing."""
    real = trusted_path(path)
    for directory in reversed(list(takewhile(lambda each: not each.exists(), (real, *real.parents)))):
        with suppress(FileExistsError):
            directory.mkdir(_DIRECTORY_MODE)
            # The umask may have cleared permissions of the user.
            directory.chmod(_DIRECTORY_MODE)
    return trusted_path(real)


def temporary_directory(prefix: str, parent: Path | None = None) -> Path:
    """Create a directory with a new name, by default in $TMPDIR."""
    # Few commands create one, and it takes 8 ms to import.
    import tempfile

    path = Path(tempfile.mkdtemp(prefix=prefix, dir=trusted_path(parent or Path(tempfile.gettempdir()))))
    path.chmod(_DIRECTORY_MODE)
    return path


def temporary_program(prefix: str, script: bytes) -> Path:
    """Create an executable file with a new name in $TMPDIR."""
    import tempfile

    descriptor, name = tempfile.mkstemp(prefix=prefix, dir=trusted_path(Path(tempfile.gettempdir())))
    with open(descriptor, "wb") as stream:  # noqa: PTH123
        os.fchmod(descriptor, PROGRAM_MODE)
        stream.write(script)
    return Path(name)


def private_listener(path: Path) -> "socket.socket":
    """Return a listening unix socket to which only this user can connect; its directory must be private."""
    # Completion in the user's own shell needs none.
    import socket

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(_FILE_MODE)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def private_file(path: Path) -> Path:
    """Return a file's path without symbolic links; create it empty where it is missing."""
    real = trusted_path(private_directory(path.parent) / path.name)
    if real.is_fifo():
        # Opening it would block until it has a reader.
        raise OSError(0, "it is a FIFO")
    real.touch(_FILE_MODE)
    # The file may be a link to /dev/null, whose mode must not change.
    if real.is_file():
        real.chmod(_FILE_MODE)
    return real


def replace_file(path: Path, data: bytes, mode: int = _FILE_MODE) -> None:
    """Replace a file, or create it; a reader sees the old content or all of the new."""
    import tempfile

    real = trusted_path(path)
    directory = private_directory(real.parent)
    descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=f".{real.stem}-")
    try:
        with open(descriptor, "wb") as stream:  # noqa: PTH123
            os.fchmod(descriptor, mode)
            stream.write(data)
        os.replace(temporary, directory / real.name)  # noqa: PTH105
    except OSError:
        os.unlink(temporary)  # noqa: PTH108
        raise
