"""A dry run's lines: what is told instead of what would leave mclu, such as files that are written."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.errors import OutputError
from mclu_shell.language.parser import Line
from mclu_shell.output.results import Handover, Result, Text, would
from mclu_shell.output.schema.planned import placed_record


def require_writable(name: str) -> None:
    """OutputError if a file could not be written to; it is neither made nor opened."""
    path = Path(name).expanduser()
    if number := _obstacle(path):
        raise OutputError(f"cannot write: {os.strerror(number)}", place=name)


def _obstacle(path: Path) -> int:
    """The errno of what speaks against writing to a file, 0 if nothing does."""
    try:
        there = path.stat()
    except FileNotFoundError:
        if not path.parent.exists():
            return errno.ENOENT
        return 0 if os.access(path.parent, os.W_OK | os.X_OK) else errno.EACCES
    except OSError as error:
        return error.errno or errno.EIO
    if stat.S_ISDIR(there.st_mode):
        return errno.EISDIR
    return 0 if os.access(path, os.W_OK) else errno.EACCES


def outwards(line: Line) -> Iterator[Result]:
    """What a line would do outside mclu, or with its answer beyond showing it; OutputError if that is not possible."""
    if line.shell:
        yield would(Planned("run in your shell", how=line.shell))
    if line.output:
        require_writable(line.output)
        yield would(Planned("append this to" if line.append else "write this to", path=line.output))
    if line.pipe:
        yield would(Planned("hand this to your shell", how=line.pipe))


def placed(results: Iterable[Result], place: str) -> Iterator[Result]:
    """Results of a dry run, with the place of their line in a script; nothing takes the terminal."""
    for result in results:
        told = would(Planned(f"open the {result.what}")) if isinstance(result, Handover) else result
        yield _placed(told, place) if place and isinstance(told, Text) else told


def _placed(told: Text, place: str) -> Text:
    data = told.data and partial(placed_record, told.data, place)
    return Text(f"{place}: {told.text}", data)
