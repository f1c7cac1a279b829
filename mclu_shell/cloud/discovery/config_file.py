"""The text of mclu.conf as `init` writes it, and its atomic replacement."""

import contextlib
import os
import shlex
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mclu_shell.config import NodeConfig, parse_config
from mclu_shell.errors import MCluError, Refused
from mclu_shell.files.reader import read_regular_file
from mclu_shell.signals import deferred
from mclu_shell.system_faults import translated
from mclu_shell.user_paths import absolute

_HEAD = """\
# mclu.conf: the nodes of your cloud, written by 'init'. Edit it, or run 'mclu init' again to add nodes.

[global]
# Defaults for all nodes. Every key of a node can be set here.
#connect_timeout=0.8                 # seconds until a silent node counts as off
#answer_timeout=4                    # seconds for a node that is on to answer a query
#broadcast=192.168.1.255             # address for magic packets (default: 255.255.255.255)
#images=/var/lib/libvirt/images      # directory for guests' disks on a node
#network=default                     # libvirt network for new guests, or bridge:NAME

[nodes]
# One line 'NAME key=value …' per node. Output has the same order.
# Your SSH configuration supplies everything else, as for 'ssh NAME': user, port, key, jump host.
"""
# The keys that `init` sets.
_KEYS = ("mac", "address", "user", "port")
_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o700


class NodeLine(NamedTuple):
    """A node's line in mclu.conf with its comment; a line that is not `active` is only a comment."""

    config: NodeConfig
    comment: str = ""
    active: bool = True

    def __str__(self) -> str:
        values = [(key, getattr(self.config, key)) for key in _KEYS]
        words = [self.config.name, *(shlex.quote(f"{key}={value}") for key, value in values if value is not None)]
        line = f"{'' if self.active else '#'}{' '.join(words)}"
        return f"{line:36} # {self.comment}" if self.comment else line


class ConfigFile(NamedTuple):
    """A configuration file: its content when it was read, None if it does not exist, and its nodes."""

    path: Path
    content: bytes | None
    nodes: tuple[NodeConfig, ...]

    def text_with(self, lines: Sequence[NodeLine]) -> str:
        """Return the text of the file with more nodes. Everything that it has stays as it is."""
        added = "".join(f"{line}\n" for line in lines)
        if self.content is None:
            return _HEAD + added
        text = self.content.decode("utf-8-sig")
        text += "" if text.endswith("\n") or not text else "\n"
        return text + ("" if _last_section(text) == "[nodes]" else "\n[nodes]\n") + added

    def write(self, text: str) -> None:
        """Replace the file, or create it; raise Refused if it has changed since it was read."""
        # A link to a file elsewhere, as in a repository of settings, remains a link.
        path = Path(os.path.realpath(absolute(self.path)))
        with deferred(lambda: None), translated(), _directories(path.parent):
            _replace(path, text.encode(), lambda: self._require_unchanged(path))

    def _require_unchanged(self, path: Path) -> None:
        if _read(path) != self.content:
            raise Refused("not written: another program has changed the file", place=str(path), remedy="try again")


def open_config_file(path: Path) -> ConfigFile:
    """Read the file that `init` adds to, or creates; raise MCluError if it is wrong, or cannot be written."""
    with translated():
        content = _read(path)
        _require_writable(path if content is not None else _first_existing(path.parent))
    if content is None:
        return ConfigFile(path, None, ())
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MCluError("not a text file", place=str(path)) from None
    return ConfigFile(path, content, parse_config(text, path, may_be_empty=True).nodes)


def _read(path: Path) -> bytes | None:
    try:
        return read_regular_file(path)
    except FileNotFoundError:
        return None


def _first_existing(directory: Path) -> Path:
    return next((path for path in (directory, *directory.parents) if path.exists()), directory)


def _require_writable(path: Path) -> None:
    if not os.access(path, os.W_OK):
        remedy = "name a file of your own: 'mclu -f FILE init'"
        raise MCluError("cannot write: Permission denied", place=str(path), remedy=remedy)


def _last_section(text: str) -> str:
    headers = [line.partition("#")[0].strip() for line in text.splitlines() if line.lstrip().startswith("[")]
    return headers[-1] if headers else ""


@contextlib.contextmanager
def _directories(directory: Path) -> Iterator[None]:
    """Make a directory and those above it; remove them again if the block fails."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    made: list[Path] = []
    try:
        for path in reversed(missing):
            path.mkdir(_DIRECTORY_MODE)
            made.append(path)
        yield
    except BaseException:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


def _replace(path: Path, content: bytes, check: Callable[[], None]) -> None:
    """Write a file beside `path`, and rename it; readers see the old or the new content."""
    new = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        with os.fdopen(descriptor, "wb") as stream:
            _copy_attributes(path, descriptor)
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
        check()
        new.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()


def _copy_attributes(path: Path, descriptor: int) -> None:
    """Give a new file the mode and the owner of the one that it replaces."""
    with contextlib.suppress(FileNotFoundError):
        before = path.stat()
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
        # Only root can change the owner, as with sudo.
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, before.st_uid, before.st_gid)
