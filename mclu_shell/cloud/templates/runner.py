"""Execution of a template with one parameter, with limits for time and output."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

from mclu_shell.errors import TemplateError
from mclu_shell.units import format_size

_TIME_LIMIT_S = 5.0
_LENGTH_LIMIT = 1 << 20


class TemplateTimeout(TemplateError):
    """A template did not exit before the time limit."""

    code = "hangs"


class Reply(NamedTuple):
    """Exit status (or minus the signal number) of a template, its output, and its last line on stderr."""

    status: int
    text: str
    last_error_line: str


def run_template(path: Path, parameter: str, environment: Mapping[str, str] | None = None) -> Reply:
    """Run a template with one parameter; raise TemplateError if it cannot be run, or TemplateTimeout."""
    check_runnable(path)
    command = ["timeout", "--signal=KILL", f"{_TIME_LIMIT_S + 1:g}", str(path.absolute()), parameter]
    # timeout(1) ends a template that hangs if this process is killed. The working directory is / because a template
    # must not depend on files beside it: they do not exist on a node.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env={**os.environ, **(environment or {})},
        process_group=0,
    ) as process:
        try:
            out, err = _read(process)
        except TimeoutError:
            raise TemplateTimeout(f"{parameter}: timed out after {_TIME_LIMIT_S:g} s") from None
        except OverflowError:
            raise TemplateError(f"{parameter}: more than {format_size(_LENGTH_LIMIT)} of output") from None
        finally:
            # Kill its background processes, too. The process group exists until wait() is called.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    last_error_line = err.decode(errors="replace").strip().rpartition("\n")[2]
    return Reply(process.returncode, out.decode(errors="replace"), last_error_line)


def check_runnable(path: Path) -> None:
    """Raise TemplateError with the cause where execve(2) would only fail with EACCES or ENOENT."""
    if not path.is_file():
        raise TemplateError("not a file")
    if not os.access(path, os.X_OK):
        raise TemplateError("not executable", remedy=f"run 'chmod +x {path}'")
    try:
        with path.open("rb") as file:
            first = file.readline(256)
    except OSError as error:
        raise TemplateError(f"cannot be read: {error.strerror}") from None
    if not first.startswith(b"#!"):
        raise TemplateError("not a script: its first line does not begin with #!")
    interpreter = os.fsdecode(first[2:].split(maxsplit=1)[0]) if first[2:].strip() else ""
    if not os.access(interpreter, os.X_OK):
        raise TemplateError(f"cannot run its interpreter {interpreter!r} on this machine")


def _read(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Return a process's output and error output; raise TimeoutError, or OverflowError if it is too much.

    It polls the pipes because killing the process group need not close them: a program that left the group keeps them.
    """
    deadline = time.monotonic() + _TIME_LIMIT_S
    assert process.stdout
    assert process.stderr
    streams: tuple[IO[bytes], IO[bytes]] = (process.stdout, process.stderr)
    printed = {stream.fileno(): bytearray() for stream in streams}
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            if time.monotonic() > deadline:
                raise TimeoutError
            for key, _ in selector.select(max(0.0, deadline - time.monotonic())):
                chunk = os.read(key.fd, 1 << 16)
                printed[key.fd] += chunk
                if not chunk:
                    selector.unregister(key.fileobj)
                if len(printed[key.fd]) > _LENGTH_LIMIT:
                    raise OverflowError
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    out, err = printed.values()
    return bytes(out), bytes(err)
