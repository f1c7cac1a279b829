"""The prompt's history: prompt_toolkit's history file, private to the user and appended to by all shells."""

import contextlib
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from prompt_toolkit.history import FileHistory

from mclu_shell.errors import MCluError
from mclu_shell.files.private import private_file, replace_file
from mclu_shell.files.trust import trusted_path
from mclu_shell.user_paths import xdg_directory

# Each prompt copies all lines, and each key searches them for a suggestion: 24 ms for 100,000 lines.
_MOST_LINES = 10_000


def history_path() -> Path:
    """Return the path of the history file of all shells of a user."""
    return xdg_directory("XDG_STATE_HOME", ".local/state") / "mclu" / "history"


class ShellHistory(FileHistory):
    """The lines of earlier shells, read once from the file, then those of this shell.

    Shells only append; up to 4 KiB are one write, so that their lines do not mix. Lines of other open shells appear in
    shells that start later.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._path = path
        self._has_failed = False
        self._error: MCluError | None = None

    def take_error(self) -> MCluError | None:
        """Return the error of the first line that could not be saved, only once."""
        error, self._error = self._error, None
        return error

    def get_strings(self) -> list[str]:
        """Return all lines, the oldest first; read the file if no prompt has done so yet."""
        if not self._loaded:
            self._loaded_strings = list(self.load_history_strings())
            self._loaded = True
        return super().get_strings()

    def load_history_strings(self) -> Iterable[str]:
        """Return the last lines of the file, the newest first; none if the file is missing, unreadable or special."""
        with contextlib.suppress(OSError):
            # Opening a FIFO would block until it has a writer.
            path = trusted_path(self._path)
            if path.is_file():
                _convert_old_format(path)
                return islice(super().load_history_strings(), _MOST_LINES)
        return ()

    def append_string(self, string: str) -> None:
        """Add an entered line; ignore one that begins with a blank."""
        if string.strip() and not string[0].isspace():
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """Append a line to the file; keep the error for `take_error` if this fails."""
        try:
            private_file(self._path)
            super().store_string(string)
        except OSError as error:
            if not self._has_failed:
                self._has_failed = True
                self._error = MCluError(f"cannot save the history: {error.strerror}", place=str(self._path))


def _convert_old_format(path: Path) -> None:
    """Rewrite a file in the format before prompt_toolkit's: one line per entry, with backslash and newline escaped."""
    with path.open("rb") as file:
        # FileHistory begins each entry with an empty line, which the old format never contained.
        if file.read(1) in (b"", b"\n"):
            return
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    entries = (re.sub(r"\\([\\n])", lambda escape: "\n" if escape[1] == "n" else "\\", line) for line in lines if line)
    replace_file(path, "".join("\n+" + entry.replace("\n", "\n+") + "\n" for entry in entries).encode())
