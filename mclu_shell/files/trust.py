"""Paths that no other user of this machine can change: where mclu looks for files by itself.

Each directory on the way, and the file, must belong to the user or to root, and other users must not be able to write
to it. So no other user can replace the file between a check and its use, and no symbolic link is another user's.
"""

import errno
import os
import stat
from pathlib import Path

from mclu_shell.errors import quoted_command
from mclu_shell.files.reader import read_regular_file

_ROOT = 0
_MOST_LINKS = 40
_WRITABLE_BY_OTHERS = 0o022
_ACL = "system.posix_acl_access"


class Untrusted(PermissionError):
    """Other users can write to a path."""

    def __init__(self, reason: str, path: str, remedy: str) -> None:
        super().__init__(errno.EPERM, reason, path)
        self.remedy = remedy


class Foreign(Untrusted):
    """A path belongs to another user."""


def trusted_path(path: Path) -> Path:
    """Return an absolute path without its symbolic links; raise Untrusted if another user could change it.

    Its last parts may be missing. Raise OSError if a directory cannot be looked up.
    """
    users = {_ROOT, os.getuid(), _administrator()}
    real, links = "/", 0
    names = list(reversed(path.parts[1:]))
    while names:
        name = names.pop()
        here = os.path.join(real, name)  # noqa: PTH118 – as a Path, this takes four times as long.
        try:
            status = os.lstat(here)
        except FileNotFoundError:
            return Path(here, *reversed(names))
        if status.st_uid not in users:
            raise Foreign(f"{here} belongs to {_name(status.st_uid)}", here, "use a file and directory of your own")
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
            target = Path(os.readlink(here))  # noqa: PTH115
            real = "/" if target.is_absolute() else real
            names += [part for part in reversed(target.parts) if part != "/"]
            continue
        if _is_writable_by_others(here, status):
            raise Untrusted(f"other users can write to {here}", here, f"run {quoted_command('chmod', 'go-w', here)}")
        real = os.path.normpath(here) if name == ".." else here
    return Path(real)


def read_own_file(path: Path) -> bytes:
    """Return the content of a file that mclu looks up by itself; raise OSError if another user could change it."""
    return read_regular_file(trusted_path(path))


def is_foreign(path: Path) -> bool:
    """Return whether a path, or a directory above it, belongs to another user than root."""
    try:
        trusted_path(path)
    except Foreign:
        return True
    except (OSError, ValueError):
        pass
    return False


def _administrator() -> int:
    # In a user namespace, the machine's root has the number of an unknown user, such as 65534.
    return os.stat("/").st_uid  # noqa: PTH116


def _is_writable_by_others(path: str, status: os.stat_result) -> bool:
    """Return whether other users can write to a file, or replace the files of a directory."""
    mode = status.st_mode
    # In a sticky directory, such as /tmp, users can replace only their own files. /dev/null is writable for everyone.
    if stat.S_ISCHR(mode) or (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
        return False
    if mode & _WRITABLE_BY_OTHERS == stat.S_IWGRP:
        return not _is_private_group(status) or _ACL in os.listxattr(path)
    return bool(mode & _WRITABLE_BY_OTHERS)


def _is_private_group(status: os.stat_result) -> bool:
    """Return whether a group is its owner's own, as many distributions make for each user (umask 002)."""
    import grp
    import pwd

    try:
        owner, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    is_own = owner.pw_gid == group.gr_gid and owner.pw_name == group.gr_name
    return is_own and set(group.gr_mem) <= {owner.pw_name}


def _name(user: int) -> str:
    import pwd

    try:
        return f"the user {pwd.getpwuid(user).pw_name}"
    except KeyError:
        return f"the user {user}"
