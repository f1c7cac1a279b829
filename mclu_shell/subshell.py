"""Programs of the user's own shell, which a line runs: how they are called, and how they and we end."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from mclu_shell.language.parser import Variables
from mclu_shell.signals import handled

if TYPE_CHECKING:
    import subprocess


def _of_the_users_shell(text: str, variables: Variables) -> tuple[list[str], dict[str, str]]:
    """The words that run a line there, and its environment: it knows a script's arguments as the script does."""
    return ["/bin/sh", "-c", text, "sh", *variables.arguments], {**os.environ, **variables.named}


def run_in_the_users_shell(text: str, variables: Variables, out: TextIO | None = None) -> int:
    """Run a line there, which writes to `out`, or as we do; as subprocess tells how it ended."""
    # Few lines need it, and all would wait for its import.
    import subprocess

    with _interrupts_are_theirs():
        program, environment = _of_the_users_shell(text, variables)
        return subprocess.run(program, env=environment, stdout=out, check=False).returncode


@contextlib.contextmanager
def reading_in_the_users_shell(
    text: str, variables: Variables, out: TextIO | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """A program there that reads what we write, and writes to `out`, or as we do; until it has ended."""
    import subprocess

    program, environment = _of_the_users_shell(text, variables)
    command = subprocess.Popen(program, env=environment, stdin=subprocess.PIPE, stdout=out, text=True)
    with command as reader, _ended_with_us(reader):
        assert reader.stdin is not None
        try:
            with _ended_with_us(reader):
                yield reader
        finally:
            # Whatever has ended our part: the reader may have the terminal still.
            with _interrupts_are_theirs():
                with contextlib.suppress(BrokenPipeError):
                    reader.stdin.close()
                reader.wait()


@contextlib.contextmanager
def _ended_with_us(reader: "subprocess.Popen[str]") -> Iterator[None]:
    """Kill it when we are to end: it would be waited for."""
    try:
        yield
    except SystemExit:
        reader.kill()
        raise


def _interrupts_are_theirs() -> contextlib.AbstractContextManager[None]:
    """Leave Ctrl-C to the program that has the terminal: an editor or a pager goes on, and so must we with it."""
    # What is ignored, rather than handled, the program would inherit.
    return handled([signal.SIGINT], lambda *_: None)
