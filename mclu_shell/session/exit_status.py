"""Exit statuses, and the one place where errors are caught and turned into them."""

import contextlib
import signal
from collections.abc import Iterator

from mclu_shell.errors import MCluError, OutputError
from mclu_shell.output.text_renderer import Renderer
from mclu_shell.signals import interrupt_status
from mclu_shell.system_faults import fault_of

DONE, FAILED, INTERRUPTED = 0, 1, 130
# Shells report a signal as its number plus this.
_SIGNALLED = 128
# The status that a shell reports after SIGPIPE: the reader has closed the pipe, so nothing more is run.
READER_GONE = 141
# The statuses of a program that Ctrl-C or Ctrl-\ ended: from waitpid (negative), or from a shell (128 added).
_INTERRUPTED = {status for number in (signal.SIGINT, signal.SIGQUIT) for status in (-number, 128 + number)}


class ReaderGone(Exception):
    """Raised when the reader of our output has closed the pipe; `status` is that of the work, which was completed."""

    def __init__(self, status: int = DONE) -> None:
        super().__init__(status)
        self.status = status


class ExitStatus:
    """The exit status of a block of code."""

    # Not a dataclass: dataclasses would take 5 ms of every start to import.
    def __init__(self) -> None:
        self.status = FAILED


@contextlib.contextmanager
def catch_errors(
    renderer: Renderer, place: str = "", *, verbose: bool = False, is_within: bool = False
) -> Iterator[ExitStatus]:
    """Print any error of the block, and set the outcome's status to match.

    A block within another (`is_within`) leaves it to the outer one to handle output that cannot be written.
    """
    outcome = ExitStatus()
    try:
        yield outcome
    except MCluError as error:
        if is_within and isinstance(error, OutputError):
            raise
        renderer.error(error, place)
        outcome.status = error.status
    except KeyboardInterrupt as interrupt:
        renderer.interrupted(place)
        outcome.status = interrupt_status(interrupt)
    except ReaderGone:
        if is_within:
            raise
        outcome.status = READER_GONE
    except Exception as error:  # noqa: BLE001
        outcome.status = FAILED
        renderer.error(fault_of(error), place)
        if verbose:
            import traceback

            renderer.debug(traceback.format_exc())


def is_interrupted(status: int) -> bool:
    """Return whether a status of ours means that a signal ended the command."""
    return status > _SIGNALLED and status != READER_GONE


def ends_lines(status: int) -> bool:
    """Return whether no further line runs after this status, even with -k."""
    return status > _SIGNALLED


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Raise ReaderGone if the output is a closed pipe, and OutputError if it cannot be written."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error
    except OSError as error:
        raise OutputError(f"cannot write the answer: {error.strerror}") from error


def status_of_program(code: int) -> int:
    """Return the exit status after a program with this return code, as subprocess reports it."""
    if code in _INTERRUPTED:
        return INTERRUPTED
    return FAILED if code else DONE
