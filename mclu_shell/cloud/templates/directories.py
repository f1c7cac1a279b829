"""The directories of templates: those of $MCLU_PATH, or the one shipped with mclu."""

import os
from pathlib import Path

from mclu_shell.errors import TemplateError
from mclu_shell.files.trust import Untrusted, trusted_path
from mclu_shell.user_paths import absolute, expand_home


class DirectoryUnreadable(TemplateError):
    """Warning: a directory of $MCLU_PATH is not used, so templates may come from a later one, or be missing."""

    code = "template-directory"
    status = 0


def template_directories() -> list[Path]:
    """Return the directories of $MCLU_PATH, or else the directory that is shipped with mclu.

    Leave out those that other users can change: mclu runs the templates of a directory to list them.
    """
    return [path for path in _listed() if _untrusted(path) is None] if _listed() else [_shipped_directory()]


def unreadable_directories() -> list[DirectoryUnreadable]:
    """Return a warning for each directory that is missing, cannot be read, or is not trusted."""
    if not _listed():
        # The files of mclu itself may belong to another user, as in a checkout that root uses.
        return list(filter(None, [_check(_shipped_directory())]))
    return list(filter(None, (_untrusted(directory) or _check(directory) for directory in _listed())))


def _listed() -> list[Path]:
    names = [name for name in os.environ.get("MCLU_PATH", "").split(":") if name]
    return [absolute(Path(expand_home(name))) for name in names]


def _untrusted(directory: Path) -> DirectoryUnreadable | None:
    try:
        trusted_path(directory)
    except Untrusted as error:
        return DirectoryUnreadable(f"not used: {error.strerror}", place=str(directory), remedy=error.remedy)
    except OSError:
        pass
    return None


def _check(directory: Path) -> DirectoryUnreadable | None:
    try:
        os.scandir(directory).close()
    except OSError as error:
        return DirectoryUnreadable(
            f"cannot read the directory: {error.strerror}", place=str(directory), remedy="correct MCLU_PATH"
        )
    return None


def _shipped_directory() -> Path:
    """Return the directory beside the package in a checkout, or share/mclu of the wheel's prefix."""
    root = Path(__file__).parents[3]
    shared = (base / "share/mclu/templates" for base in (root, *root.parents))
    if (root / "pyproject.toml").exists():
        return root / "templates"
    return next(filter(Path.is_dir, shared), root / "templates")
