"""Questions of single commands and -c lines, where stdin and stderr are terminals."""

import contextlib
import sys
import termios


def confirm(question: str) -> bool:
    """Ask for yes or no; return True for a reply that begins with y. The end of the input means no."""
    # Input that was typed before the question was shown does not answer it.
    with contextlib.suppress(termios.error):
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    try:
        _write(f"{question} [y/N] ")
        reply = sys.stdin.readline()
    except (OSError, UnicodeError):
        # The terminal was closed, or the reply is not text.
        return False
    except KeyboardInterrupt:
        _end_line()
        raise
    if not reply:
        _end_line()
    return reply.strip().lower().startswith("y")


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _end_line() -> None:
    # Neither Ctrl-C nor Ctrl-D ends the line of the question.
    with contextlib.suppress(OSError):
        _write("\n")
