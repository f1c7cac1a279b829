"""The user's name, home and working directory, and paths that begin there; the only module that looks them up.

In a container, a user may have neither a passwd entry nor $HOME. Then nothing is found below the home directory, and
nothing is created there.

sudo may keep $HOME and the XDG variables of another user. These are ignored: mclu would read that user's files, and
write to places that they choose.
"""

import os
from pathlib import Path

from mclu_shell.errors import MCluError
from mclu_shell.files.trust import is_foreign

# Nothing can be below a device, not even for root.
NO_HOME = Path("/dev/null/no-home-directory")


def find_home() -> Path:
    """Return the user's home directory, $HOME before that of the passwd entry; NO_HOME without either."""
    return _own_directory("HOME") or _account_home()


def require_home() -> Path:
    """Return the user's home directory; raise MCluError without one."""
    if (home := find_home()) == NO_HOME:
        raise MCluError("cannot find your home directory", place=user_name(), remedy="set HOME to a directory")
    return home


def find_ssh_home() -> Path:
    """Return the home directory that OpenSSH uses: that of the passwd entry, even if $HOME differs."""
    return home if (home := _account_home()) != NO_HOME else find_home()


def _own_directory(variable: str) -> Path | None:
    """Return the directory that a variable names; None if it is relative, or belongs to another user."""
    # A relative path would mean another directory after each `cd`.
    path = Path(os.environ.get(variable, ""))
    return None if not path.is_absolute() or is_foreign(path) else path


def _account_home() -> Path:
    import pwd

    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except (KeyError, OSError):
        return NO_HOME
    return Path(home) if home.startswith("/") else NO_HOME


def user_name() -> str:
    """Return the user's name, or the number without a passwd entry."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except (KeyError, OSError):
        return str(os.getuid())


def xdg_directory(variable: str, default: str) -> Path:
    """Return a directory of the XDG Base Directory Specification, which ignores relative paths."""
    return _own_directory(variable) or find_home() / default


def runtime_directory() -> Path | None:
    """Return $XDG_RUNTIME_DIR; None if it is not the user's own."""
    path = _own_directory("XDG_RUNTIME_DIR")
    return path if path is not None and os.access(path, os.W_OK | os.X_OK) and path.is_dir() else None


def expand_home(name: str) -> str:
    """Return a path with `~` or `~USER` replaced; like a shell, leave that of an unknown user unchanged."""
    if name == "~" or name.startswith("~/"):
        return f"{find_home()}{name[1:]}"
    return os.path.expanduser(name)  # noqa: PTH111


def expand_ssh_home(name: str) -> str:
    """Return a path with `~` or `~USER` replaced as OpenSSH does."""
    if name == "~" or name.startswith("~/"):
        return f"{find_ssh_home()}{name[1:]}"
    return expand_home(name)


def absolute(path: Path) -> Path:
    """Return an absolute path; raise MCluError if it is relative and the working directory no longer exists."""
    try:
        return path.absolute()
    except OSError as error:
        fact = f"cannot find the working directory: {error.strerror}"
        remedy = "change to an existing directory, or use an absolute path"
        raise MCluError(fact, place=str(path), remedy=remedy) from error


def is_missing(path: Path) -> bool:
    """Return True if a file certainly does not exist; False if it does, or cannot be looked up."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        pass
    return False
