"""The start-up file: commands that the interactive shell runs before its first prompt."""

from pathlib import Path

from mclu_shell.errors import UsageError
from mclu_shell.files.trust import Untrusted, trusted_path
from mclu_shell.language.script import read_script
from mclu_shell.session.session import Session
from mclu_shell.user_paths import xdg_directory


def startup_path() -> Path:
    """Return the path of `mclurc`, in the directory of the user's mclu.conf."""
    return xdg_directory("XDG_CONFIG_HOME", ".config") / "mclu" / "mclurc"


def run_startup(session: Session) -> None:
    """Run the start-up file, if it exists; report errors with file and line, and continue."""
    path = startup_path()
    try:
        trusted_path(path)
        script = read_script(str(path))
    except Untrusted as error:
        session.renderer.error(UsageError(f"not run: {error.strerror}", place=str(path), remedy=error.remedy))
    except UsageError as error:
        if not isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            session.renderer.error(error)
    else:
        session.run_startup(script.text, script.name)
