"""The start-up file: lines of the language that the interactive shell runs before its first prompt."""

import os
from pathlib import Path

from mclu_shell.session import Session


def startup_path() -> Path:
    """The file: mclurc, beside the user's mclu.conf."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "mclu" / "mclurc"


def run_startup(session: Session) -> None:
    """Run the start-up file, if there is one; what fails in it is told with file and line, and stops nothing."""
    path = startup_path()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return
    except OSError as error:
        session.renderer.error(f"{path}: cannot read: {error.strerror}")
    except UnicodeDecodeError:
        session.renderer.error(f"{path}: not a text file")
    else:
        session.run_startup(text, str(path))
