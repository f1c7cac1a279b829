"""The text of a dry run: plans for files and programs, and the places of lines in scripts."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.errors import OutputError
from mclu_shell.language.line import Line
from mclu_shell.output.results import Handover, Result, Text, would
from mclu_shell.output.schema.planned import with_position
from mclu_shell.user_paths import expand_home


def require_writable(name: str) -> None:
    """Raise OutputError if a file cannot be written; do not create or open it."""
    path = Path(expand_home(name))
    if number := _obstacle(path):
        raise OutputError(f"cannot write: {os.strerror(number)}", place=name)


def _obstacle(path: Path) -> int:
    """Return the errno that writing to a file would fail with, or 0."""
    try:
        status = path.stat()
    except FileNotFoundError:
        if not path.parent.exists():
            return errno.ENOENT
        return 0 if os.access(path.parent, os.W_OK | os.X_OK) else errno.EACCES
    except OSError as error:
        return error.errno or errno.EIO
    if stat.S_ISDIR(status.st_mode):
        return errno.EISDIR
    return 0 if os.access(path, os.W_OK) else errno.EACCES


def planned_outside(line: Line) -> Iterator[Result]:
    """Yield the files that a line would write and the programs it would run; raise OutputError if it cannot write."""
    if line.shell:
        yield would(Planned("run in your shell", how=line.shell))
    if line.output:
        require_writable(line.output)
        yield would(Planned("append this to" if line.append else "write this to", path=line.output))
    if line.pipe:
        yield would(Planned("hand this to your shell", how=line.pipe))


def with_place(results: Iterable[Result], place: str) -> Iterator[Result]:
    """Yield the results of a dry run, each with the place of its line in a script; nothing takes the terminal."""
    for result in results:
        planned = would(Planned(f"open the {result.what}")) if isinstance(result, Handover) else result
        yield _with_position(planned, place) if place and isinstance(planned, Text) else planned


def _with_position(planned: Text, place: str) -> Text:
    data = planned.data and partial(with_position, planned.data, place)
    return Text(f"{place}: {planned.text}", data)
