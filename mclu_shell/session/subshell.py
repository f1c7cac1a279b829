"""Programs of the user's shell: `!…` and `| …`."""

import contextlib
import os
import re
import shlex
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from mclu_shell.language.line import Variables
from mclu_shell.signals import Ended, handled

if TYPE_CHECKING:
    import subprocess

# The time for a reader to process the last output after a signal.
_LAST_READ_S = 1.0
# Variables that sh and its variants use (sh(1), bash(1), ksh(1)), and those of the loader.
_OF_SH = re.compile(
    r"PATH|CDPATH|FPATH|ENV|IFS|HOME|PWD|OLDPWD|SHELL|SHELLOPTS|BASH\w*|KSH\w*|LD_\w*|LC_\w*|LANG|LINENO|PS\d|PPID|U?ID|"
    r"E?UID|E?GID|GROUPS|GLOBIGNORE|EXECIGNORE|FIGNORE|TMPDIR|TMOUT|POSIX\w*|COMP_\w*|OPT\w*|DIRSTACK|FUNC\w*|_|RANDOM|"
    r"SECONDS|HIST\w*|MAIL\w*|PROMPT_COMMAND|TRAP\w*|EPOCH\w*|PIPESTATUS"
)


def _sh_command(text: str, variables: Variables) -> list[str]:
    """Return the command that runs a text in sh, with a script's arguments as its own, and its named ones as variables.

    They are not exported: a file name such as LD_PRELOAD=x, which `*` passed on, would control every program. The
    environment's own variables stay exported when they are set, and those of the shell control it: both are left out.
    """
    named = {name: value for name, value in variables.named.items() if name not in os.environ}
    settings = [f"{name}={shlex.quote(value)};" for name, value in named.items() if not _OF_SH.fullmatch(name)]
    return ["/bin/sh", "-c", " ".join([*settings, text]), "sh", *variables.arguments]


def run_in_user_shell(text: str, variables: Variables, out: TextIO | None = None) -> int:
    """Run a text in sh, writing to `out` or our own output; return its status as subprocess reports it."""
    # Few lines need it, and it takes 10 ms to import.
    import subprocess

    with _ignoring_interrupts():
        return subprocess.run(_sh_command(text, variables), stdout=out, check=False).returncode


@contextlib.contextmanager
def pipe_to_user_shell(text: str, variables: Variables, out: TextIO | None = None) -> Iterator["subprocess.Popen[str]"]:
    """Run a text in sh that reads what the block writes to its `stdin`; wait for it after the block.

    It writes to `out`, or to our own output.
    """
    import subprocess

    process = subprocess.Popen(_sh_command(text, variables), stdin=subprocess.PIPE, stdout=out, text=True)
    with process as reader, _killed_on_exit(reader):
        assert reader.stdin is not None
        try:
            with _killed_on_exit(reader):
                yield reader
        finally:
            # A pager may still use the terminal, even if our part was interrupted.
            with _ignoring_interrupts():
                with contextlib.suppress(BrokenPipeError):
                    reader.stdin.close()
                reader.wait()


def end_reader(reader: "subprocess.Popen[str]") -> None:
    """End the reader after the last output of mclu, which a signal has ended; a pager would wait for its user."""
    import subprocess

    assert reader.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        reader.stdin.close()
    try:
        reader.wait(_LAST_READ_S)
    except subprocess.TimeoutExpired:
        reader.kill()


@contextlib.contextmanager
def _killed_on_exit(reader: "subprocess.Popen[str]") -> Iterator[None]:
    """Kill the reader if a signal ends mclu, which would otherwise wait for it."""
    try:
        yield
    except Ended:
        reader.kill()
        raise


def _ignoring_interrupts() -> contextlib.AbstractContextManager[None]:
    """Leave Ctrl-C to the program in the terminal: an editor or a pager continues after it."""
    # With SIG_IGN instead of a handler, the program would inherit it (execve(2)).
    return handled([signal.SIGINT], lambda *_: None)
