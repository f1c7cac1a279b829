"""Reading of local files, each of which may be a FIFO without a writer, a device, or a file without end."""

import errno
import os
import select
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from mclu_shell.units import format_size

_MOST_BYTES = 16 << 20
_CHUNK = 1 << 16
# A shell that opens a FIFO for writing may start later than mclu.
_WRITER_TIMEOUT_S = 5.0


def read_file(path: Path, most_bytes: int = _MOST_BYTES) -> bytes:
    """Return the content of a file, pipe or terminal that the user named.

    Raise OSError if it cannot be read, is larger than `most_bytes`, or is a FIFO or a device that provides nothing. A
    pipe with a writer may take any time, as `-f <(gpg -d mclu.conf.gpg)` does.
    """
    with _opened(path) as descriptor:
        content = bytearray()
        for chunk in _chunks(descriptor, path):
            content += chunk
            if len(content) > most_bytes:
                raise _too_large(str(path), most_bytes)
    return bytes(content)


def read_regular_file(path: Path, most_bytes: int = _MOST_BYTES) -> bytes:
    """Return the content of a file that mclu looks up by itself; raise OSError if it is special, or too large."""
    with _opened(path) as descriptor:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with open(descriptor, "rb", closefd=False) as stream:
            return read_stream(stream, str(path), most_bytes)


def read_stream(stream: BinaryIO, name: str, most_bytes: int = _MOST_BYTES) -> bytes:
    """Return all of a stream; raise OSError if it is larger than `most_bytes`."""
    content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise _too_large(name, most_bytes)
    return content


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    # Without O_NONBLOCK, opening a FIFO waits for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _chunks(descriptor: int, path: Path) -> Iterator[bytes]:
    mode = os.fstat(descriptor).st_mode
    # At first, a FIFO without a writer and one at its end look the same. A pipe without a name has had its writer.
    is_silent = stat.S_ISFIFO(mode) and not _is_anonymous(descriptor) and not _wait(descriptor, _WRITER_TIMEOUT_S)
    timeout_s = _WRITER_TIMEOUT_S if stat.S_ISCHR(mode) and not _is_own_terminal(descriptor) else None
    while True:
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            if not _wait(descriptor, timeout_s):
                raise OSError(errno.ETIMEDOUT, "this device provides no data", str(path)) from None
            is_silent = False
            continue
        if chunk:
            yield chunk
            is_silent = False
        elif is_silent:
            raise OSError(errno.ETIMEDOUT, "no program writes to this FIFO", str(path))
        else:
            return


def _is_anonymous(descriptor: int) -> bool:
    """Return whether a pipe has no name in the file system, as that of `<(…)` (proc(5))."""
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith("pipe:")
    except OSError:
        return False


def _is_own_terminal(descriptor: int) -> bool:
    """Return whether a device is the terminal of this process, at which the user may type."""
    try:
        return os.tcgetpgrp(descriptor) >= 0
    except OSError:
        return False


def _wait(descriptor: int, timeout_s: float | None) -> bool:
    """Wait until something can be read, or the writer is gone; return False at the timeout."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1000))


def _too_large(name: str, most_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"larger than {format_size(most_bytes)}", name)
