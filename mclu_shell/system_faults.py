"""Translation of errors of the operating system and of encodings into errors for the user, in one place."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

from mclu_shell.errors import MCluError
from mclu_shell.files.trust import Untrusted

_CHECK_PERMISSIONS = "check the permissions of the file and of the directories above it"
_REMEDIES = {
    errno.EACCES: _CHECK_PERMISSIONS,
    errno.EPERM: _CHECK_PERMISSIONS,
    errno.ENOENT: "check that it exists",
    errno.ENOTDIR: "check that it exists",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "use a directory that can be written",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close some programs",
    errno.ENOMEM: "close some programs",
    errno.EAGAIN: "raise the limit of processes (ulimit -u)",
    errno.EIO: "check the disk that it is on",
    errno.ESTALE: "mount its file system again",
    errno.ELOOP: "check its symbolic links",
}


class SystemFault(MCluError):
    """A call of this machine's operating system failed; `place` is the path, if there is one."""

    code = "system"


def fault_of(error: Exception) -> MCluError:
    """Return the error for the user; for a defect in mclu, one that asks for a report."""
    if (fault := system_fault(error)) is not None:
        return fault
    return MCluError(f"internal error: {error!r}", remedy="run mclu with -v for a traceback, and report it")


def log_error(message: str, error: BaseException | None) -> None:
    """Log the traceback of an error at the debug level, which only -v prints."""
    # Without -v, nothing imports logging, which takes some milliseconds.
    if "logging" in sys.modules:
        import logging

        logging.getLogger(__name__).debug("%s", message, exc_info=error)


def system_fault(error: BaseException) -> SystemFault | None:
    """Return the error for the user; None if it is not the operating system's, but a defect in mclu."""
    if isinstance(error, OSError):
        return _os_fault(error)
    if isinstance(error, UnicodeError):
        return SystemFault(f"cannot convert text: {error}", remedy="use a UTF-8 locale, such as LC_ALL=C.UTF-8")
    if isinstance(error, ImportError):
        return SystemFault(f"cannot load a library: {error}", remedy="install mclu again")
    return None


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise SystemFault for errors of the operating system in the block."""
    try:
        yield
    except (OSError, UnicodeError, ImportError) as error:
        if (fault := system_fault(error)) is None:
            raise
        raise fault from error


def _os_fault(error: OSError) -> SystemFault:
    fact = error.strerror or str(error) or type(error).__name__
    # subprocess reports the program as bytes or str, os functions also a descriptor.
    place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else ""
    remedy = error.remedy if isinstance(error, Untrusted) else _REMEDIES.get(error.errno or 0, "")
    return SystemFault(fact, place=place, remedy=remedy)
