"""A template as a script file: faults of the file that its interpreter would report in puzzling words."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mclu_shell.errors import TemplateError
from mclu_shell.files.reader import read_regular_file

_TIMEOUT_S = 5.0
# All of a template is sent to the node, and its lines are checked here.
_MOST_BYTES = 64 << 20
# Linux reads no more of the first line (execve(2), BINPRM_BUF_SIZE).
_LONGEST_FIRST_LINE = 256
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_SHELLS = ("sh", "dash", "bash", "ksh", "mksh", "zsh", "ash")
# Reports the place of an error like a shell does, and writes no bytecode.
_COMPILE = """import sys
try: compile(open(sys.argv[1], "rb").read(), sys.argv[1], "exec")
except (SyntaxError, ValueError) as error: sys.exit(f"line {getattr(error, 'lineno', '?')}: {error.args[0]}")"""


class Interpreter(NamedTuple):
    """The program that runs a script: its path, and the program that env(1) runs, or the same."""

    path: str
    program: str

    @property
    def is_shell(self) -> bool:
        """True for a Bourne shell."""
        return Path(self.program).name in _SHELLS

    def syntax_check(self, script: Path) -> list[str]:
        """Return the command that checks a script's syntax without running it; empty for an unknown language."""
        name = Path(self.program).name
        if self.is_shell:
            return [self.program, "-n", str(script)]
        if name.rstrip("0123456789.") == "python":
            return [self.program, "-c", _COMPILE, str(script)]
        return []


def check_runnable(path: Path) -> None:
    """Raise TemplateError with the cause where execve(2) would only fail with EACCES or ENOENT."""
    if not path.is_file():
        raise TemplateError("not a file")
    if not os.access(path, os.X_OK):
        raise _not_executable(path)
    first = _first_line(path)
    _check_first_line(first, path)
    interpreter = _interpreter(first)
    if not os.access(interpreter.path, os.X_OK) or Path(interpreter.path).is_dir():
        raise TemplateError(f"cannot run its interpreter {interpreter.path!r} on this machine")


def check_line_ends(path: Path) -> None:
    """Raise TemplateError if a shell would read a carriage return as part of a command."""
    text = read_script(path)
    lines = text.split(b"\n")
    numbers = [number for number, line in enumerate(lines, 1) if line.endswith(b"\r")]
    if numbers and _interpreter(lines[0]).is_shell:
        raise _windows_line_ends(path, f"line {numbers[0]}")


def check_syntax(path: Path) -> None:
    """Raise TemplateError with the line of a syntax error, if the interpreter can check that without running it."""
    interpreter = _interpreter(_first_line(path))
    if not (command := interpreter.syntax_check(path)):
        return
    try:
        checked = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired):
        # The run of the template reports an interpreter that does not work.
        return
    message = checked.stderr.decode(errors="replace").strip()
    if checked.returncode and message:
        raise TemplateError(f"syntax error: {_without_path(message.splitlines()[0], path)}")


def explain_failure(path: Path) -> TemplateError | None:
    """Return the fault of the file itself that makes a run fail; None if there is none."""
    try:
        check_line_ends(path)
        check_syntax(path)
    except TemplateError as error:
        return error
    return None


@contextmanager
def translated() -> Iterator[None]:
    """Raise TemplateError where the system refuses to look at a template, or to run it, as with a NUL in a path."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TemplateError(f"cannot be read or run: {reason}") from error


def read_script(path: Path) -> bytes:
    """Return the text of a template; raise TemplateError if it cannot be read, or is too large to be a script."""
    try:
        return read_regular_file(path, _MOST_BYTES)
    except OSError as error:
        raise TemplateError(f"cannot be read: {error.strerror}") from None


def _first_line(path: Path) -> bytes:
    """Return the first line, without what the kernel does not read of it."""
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST_FIRST_LINE).split(b"\n", 1)[0]
    except OSError as error:
        raise TemplateError(f"cannot be read: {error.strerror}") from None


def _check_first_line(first: bytes, path: Path) -> None:
    if first.startswith(_BYTE_ORDER_MARK):
        raise TemplateError(
            "begins with a byte order mark (BOM), so the system does not find its interpreter",
            remedy=f"remove it: run {_sed('1s/^...//', path)}",
        )
    if first.startswith(_UTF_16):
        raise TemplateError("is a UTF-16 file", remedy="save it as UTF-8 without a byte order mark (BOM)")
    if not first.startswith(b"#!"):
        raise TemplateError("not a script: its first line does not begin with #!")
    if first.endswith(b"\r"):
        raise _windows_line_ends(path, "line 1")
    if b"\0" in first:
        raise TemplateError("not a script: its first line has a NUL byte", remedy="save it as UTF-8")
    words = first[2:].split()
    if len(words) == 1 and len(first) == _LONGEST_FIRST_LINE:
        raise TemplateError(f"the path of its interpreter is longer than {_LONGEST_FIRST_LINE - 3} bytes")
    if not words:
        raise TemplateError("its first line names no interpreter", remedy="begin it with #!/bin/sh, for example")


def _windows_line_ends(path: Path, place: str) -> TemplateError:
    command = _sed(r"s/\r$//", path)
    return TemplateError(f"has Windows line ends (CRLF), first in {place}", remedy=f"run {command}")


def _sed(script: str, path: Path) -> str:
    return f"LC_ALL=C sed -i {shlex.quote(script)} {shlex.quote(str(path))}"


def _not_executable(path: Path) -> TemplateError:
    if os.statvfs(path).f_flag & os.ST_NOEXEC:
        return TemplateError("is on a file system that is mounted with noexec", remedy="move it to another directory")
    return TemplateError("not executable", remedy=f"run 'chmod +x {path}'")


def _interpreter(first: bytes) -> Interpreter:
    """Return the interpreter of a script's first line (execve(2))."""
    words = os.fsdecode(first[2:]).split()
    path = words[0] if words else ""
    is_env = Path(path).name == "env" and len(words) > 1 and not words[1].startswith("-") and "=" not in words[1]
    return Interpreter(path, words[1] if is_env else path)


def _without_path(message: str, path: Path) -> str:
    """Return a shell's message without the script's path: `PATH: 3: Syntax error: …` becomes `line 3: …`."""
    rest = message.partition(f"{path}: ")[2] or message
    # bash writes `line 3` where dash writes `3`.
    number, colon, fact = rest.removeprefix("line ").partition(": ")
    if not (colon and number.isdecimal()):
        return rest
    return f"line {number}: {fact.removeprefix('Syntax error: ').removeprefix('syntax error ')}"
