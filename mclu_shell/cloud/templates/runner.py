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

from mclu_shell.cloud.templates.script_file import check_runnable
from mclu_shell.errors import TemplateError
from mclu_shell.units import format_size
from mclu_shell.user_paths import absolute

_TIME_LIMIT_S = 5.0
_LENGTH_LIMIT = 1 << 20


class TemplateTimeout(TemplateError):
    """A template did not exit before the time limit."""

    code = "hangs"


class Reply(NamedTuple):
    """Exit status (or minus the signal number) of a template, its output, and its messages on stderr."""

    status: int
    text: str
    error_text: str

    @property
    def is_silent(self) -> bool:
        """True if the template has printed nothing at all."""
        return not (self.text or self.error_text.strip())

    @property
    def last_error_line(self) -> str:
        """The last line of the messages."""
        return self.error_text.strip().rpartition("\n")[2]


def run_template(path: Path, parameter: str, environment: Mapping[str, str] | None = None) -> Reply:
    """Run a template with one parameter; raise TemplateError if it cannot be run, or TemplateTimeout."""
    check_runnable(path)
    command = ["timeout", "--signal=KILL", f"{_TIME_LIMIT_S + 1:g}", str(absolute(path)), parameter]
    with _start(command, {**os.environ, **(environment or {})}) as process:
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
    return Reply(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def _start(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # timeout(1) ends a template that hangs if this process is killed. The working directory is / because a template
    # must not depend on files beside it: they do not exist on a node.
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env=environment,
            process_group=0,
        )
    except OSError as error:
        raise TemplateError(f"cannot be run with timeout(1): {error.strerror}", remedy="install coreutils") from error


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
