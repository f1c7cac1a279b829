"""The directories of templates: those of $MCLU_PATH, or the one shipped with mclu."""

import os
from pathlib import Path

from mclu_shell.errors import TemplateError
from mclu_shell.user_paths import absolute, expand_home


class DirectoryUnreadable(TemplateError):
    """Warning: a directory of $MCLU_PATH cannot be read, so templates may come from a later one, or be missing."""

    code = "template-directory"
    status = 0


def template_directories() -> list[Path]:
    """Return the directories of $MCLU_PATH, or else the directory that is shipped with mclu."""
    names = [name for name in os.environ.get("MCLU_PATH", "").split(":") if name]
    return [absolute(Path(expand_home(name))) for name in names] or [_shipped_directory()]


def unreadable_directories() -> list[DirectoryUnreadable]:
    """Return a warning for each directory that is missing or cannot be read."""
    return [warning for directory in template_directories() if (warning := _check(directory)) is not None]


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
