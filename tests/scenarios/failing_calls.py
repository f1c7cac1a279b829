"""Runs mclu while calls of the operating system fail, once for each place in mclu that makes such a call.

A place is a function and the line of mclu_shell that calls it, directly or through a library. The first run records
the places; each further run fails every call from one of them. Every run is a fork of this process, which has imported
mclu.
"""

import builtins
import errno
import fcntl
import importlib
import inspect
import io
import json
import os
import pkgutil
import pty
import pwd
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import mclu_shell
from mclu_shell import cli

PACKAGE = str(Path(mclu_shell.__file__).parent)
TIMEOUT_S = 60.0
ENDLESS = "mclu does not end"
_QUIET_S = 3.0
_CTRL_D = b"\x04"
# Each function, and whether its first argument is a path.
CALLS: tuple[tuple[Any, str, bool], ...] = (
    *((os, name, True) for name in ("stat", "lstat", "open", "access", "listdir", "scandir", "mkdir", "statvfs")),
    *((os, name, True) for name in ("rename", "replace", "unlink", "remove", "rmdir", "chmod", "readlink", "utime")),
    (os, "getcwd", False),
    (io, "open", True),
    (builtins, "open", True),
    (pwd, "getpwuid", False),
    (pwd, "getpwnam", False),
    (fcntl, "flock", False),
    (socket.socket, "__init__", False),
    (subprocess.Popen, "__init__", False),
)
OS_ERRORS = (errno.EACCES, errno.EIO)


class Fault(NamedTuple):
    """The place whose calls fail, and the error."""

    place: str
    error: str


class Run(NamedTuple):
    """A run of mclu: its fault, exit status and output."""

    fault: Fault
    status: int
    output: str


class Calls:
    """The patched functions: they record the places of their calls, or fail at one of them."""

    def __init__(self, fault: Fault | None, record: Callable[[str], object]) -> None:
        self._fault = fault
        self._record = record
        self._local = threading.local()
        for module, name, has_path in CALLS:
            label = module.__name__ if name == "__init__" else name
            setattr(module, name, self._patched(getattr(module, name), label, has_path=has_path))

    def _patched(self, function: Callable[..., Any], label: str, *, has_path: bool) -> Callable[..., Any]:
        def patched(*args: Any, **options: Any) -> Any:
            # Looking for the place may itself call a patched function.
            if not getattr(self._local, "is_looking", False):
                self._local.is_looking = True
                try:
                    place = _place(inspect.currentframe(), label)
                finally:
                    self._local.is_looking = False
                if place:
                    self._handle(place, args[0] if has_path and args else None)
            return function(*args, **options)

        return patched

    def _handle(self, place: str, path: Any) -> None:
        self._record(place)
        if self._fault is None or place != self._fault.place:
            return
        if self._fault.error == "KeyError":
            raise KeyError(f"{place}: uid not found")
        number = int(self._fault.error)
        raise OSError(number, os.strerror(number), path) if path is not None else OSError(number, os.strerror(number))


def _place(frame: FrameType | None, name: str) -> str:
    """Return the place of a call; empty if mclu does not make it, or only imports a module."""
    while frame is not None:
        file = frame.f_code.co_filename
        if "importlib" in file:
            return ""
        if file.startswith(PACKAGE):
            return f"{name} {file.removeprefix(PACKAGE)}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return ""


def _errors_of(place: str) -> list[str]:
    name = place.split()[0]
    if name in ("getpwuid", "getpwnam"):
        return ["KeyError"]
    if name == "access":
        # It returns False instead.
        return [str(errno.EIO)]
    return [str(errno.ENOENT)] if name == "getcwd" else [str(number) for number in OS_ERRORS]


def _run(words: list[str], fault: Fault | None, records: Path, keys: bytes) -> tuple[int, str]:
    """Run mclu in a fork; return its exit status and output. `keys` are typed at the prompt of a terminal."""
    pid, master = pty.fork()
    if pid == 0:
        _become_mclu(words, fault, records, is_terminal=bool(keys))
    output = _read(master, keys)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(master)
    return os.waitstatus_to_exitcode(status), output


def _become_mclu(words: list[str], fault: Fault | None, records: Path, *, is_terminal: bool) -> None:
    if not is_terminal:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    descriptor = os.open(records, os.O_WRONLY | os.O_APPEND)
    # The last calls may come from threads while the process ends, so each is written at once.
    Calls(fault, lambda place: os.write(descriptor, f"{place}\n".encode()))
    sys.argv[1:] = words
    try:
        cli.run()
    except BaseException:  # noqa: BLE001 – this is what the test looks for.
        traceback.print_exc()
    os._exit(70)


def _read(master: int, keys: bytes) -> str:
    """Return the output until mclu ends; type the keys at the first prompt, and Ctrl-D if it then waits."""
    output = b""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if not select.select([master], [], [], _QUIET_S)[0]:
            os.write(master, _CTRL_D)
            continue
        try:
            chunk = os.read(master, 1 << 16)
        except OSError:  # EIO: all writers have ended.
            return output.decode(errors="replace")
        output += chunk
        if keys and b"mclu>" in output:
            os.write(master, keys)
            keys = b""
    return f"{output.decode(errors='replace')}\n{ENDLESS}"


def runs(words: list[str], keys: bytes) -> Iterator[Run]:
    """Yield a run without a fault, then one for each place and error."""
    with tempfile.TemporaryDirectory() as directory:
        records = Path(directory) / "places"
        records.touch()
        yield Run(Fault("", ""), *_run(words, None, records, keys))
        places = dict.fromkeys(records.read_text(encoding="utf-8").splitlines())
        for place in places:
            for error in _errors_of(place):
                fault = Fault(place, error)
                yield Run(fault, *_run(words, fault, records, keys))


def main() -> None:
    """Print the runs of a command line as JSON; the first argument is what is typed at the prompt, or empty."""
    for module in pkgutil.walk_packages(mclu_shell.__path__, "mclu_shell."):
        importlib.import_module(module.name)
    keys, *words = sys.argv[1:]
    json.dump(list(runs(words, keys.replace("\\r", "\r").encode())), sys.stdout)


if __name__ == "__main__":
    main()
