"""The history: the lines that were entered, in a file that several shells add to."""

import contextlib
import os
import stat
from collections.abc import AsyncGenerator, Iterable
from itertools import groupby
from pathlib import Path

from prompt_toolkit.history import History

_KEPT_LINES = 1000
# Only so much of the file's end is read, at every prompt, however long the file has grown.
_END_BYTES = 128 * 1024
# Not to wait where somebody has put a pipe in the file's place.
_OPEN = os.O_NONBLOCK | os.O_CLOEXEC


def history_path() -> Path:
    """The file in which all shells of a user keep what was entered."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # A relative one is to be ignored (XDG Base Directory Specification).
    base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return base / "mclu" / "history"


class SharedHistory(History):
    """prompt_toolkit's history: first this shell's own lines, then those of the file, which others add to as well.

    So the arrow brings back what was entered here, whatever goes on in another window.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._own: list[str] = []
        # Why lines are not kept, until it has been told.
        self._problem: str | None = None
        self._has_told = False

    def lines(self) -> list[str]:
        """All lines, the oldest first."""
        return [*_without(read_end(self._path), self._own), *self._own]

    def take_problem(self) -> str | None:
        """Why lines are not kept, if they are not; said only once."""
        problem, self._problem = self._problem, None
        return problem

    async def load(self) -> AsyncGenerator[str, None]:
        """All lines, the newest first; prompt_toolkit asks for them anew at each prompt."""
        self._loaded_strings = self.lines()[::-1]
        for line in list(self._loaded_strings):
            yield line

    def load_history_strings(self) -> Iterable[str]:
        """All lines, the newest first."""
        return self.lines()[::-1]

    def append_string(self, string: str) -> None:
        """Take a line that was entered; one that begins with a blank is meant to be forgotten."""
        if string.strip() and not string[0].isspace():
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """Keep a line, here and in the file; a file that cannot be written is told, but disturbs nothing."""
        self._own = [*_without(self._own, [string]), string][-_KEPT_LINES:]
        try:
            append(self._path, string)
        except OSError as error:
            if not self._has_told:
                self._has_told = True
                self._problem = f"{self._path}: the history is not kept: {error.strerror}"


def append(path: Path, line: str) -> None:
    """Add a line to the file in one write, so that the lines of several shells never mix; OSError if it cannot be."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _OPEN, 0o600)
    try:
        status = os.fstat(file)
        # Whoever wants no history makes the file a link to /dev/null, whose mode is not ours to change.
        if stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) != 0o600:
            os.fchmod(file, 0o600)
        _write_whole(file, _encode(line))
    finally:
        os.close(file)


def read_end(path: Path) -> list[str]:
    """The last lines of the file, the oldest first, each run of equal ones as one; none where there is no file."""
    with contextlib.suppress(OSError):
        file = os.open(path, os.O_RDONLY | _OPEN)
        try:
            start = max(0, os.fstat(file).st_size - _END_BYTES)
            data = os.pread(file, _END_BYTES, start)
        finally:
            os.close(file)
        # What stands before the first newline may be the end of a line, and what follows the last its beginning.
        whole = data.split(b"\n")[1 if start else 0 : -1]
        return [line for line, _ in groupby(map(_decode, whole[-_KEPT_LINES:]))]
    return []


def _write_whole(file: int, data: bytes) -> None:
    """Write all or nothing: the next line would be joined to a half one."""
    written = os.write(file, data)
    if written < len(data):
        os.ftruncate(file, os.lseek(file, 0, os.SEEK_CUR) - written)
        raise OSError(0, "no space left for a whole line")


def _without(lines: list[str], unwanted: list[str]) -> list[str]:
    known = set(unwanted)
    return [line for line in lines if line not in known]


def _encode(line: str) -> bytes:
    """A line as one line, whatever is in it."""
    return line.replace("\\", "\\\\").replace("\n", "\\n").encode(errors="surrogateescape") + b"\n"


def _decode(data: bytes) -> str:
    # What stands between two quoted backslashes holds none, so that the other escape can be undone there.
    parts = data.decode(errors="surrogateescape").split("\\\\")
    return "\\".join(part.replace("\\n", "\n") for part in parts)
