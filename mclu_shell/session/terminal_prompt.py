"""Questions of single commands and -c lines, where stdin and stderr are terminals."""

import contextlib
import sys
import termios

from mclu_shell.errors import Question


def ask(question: Question) -> str | None:
    """Show a question of ssh and return the reply; None for a notice, and at the end of the input."""
    if question.is_notice:
        _write(f"{question.text}\n")
        return None
    _discard_typeahead()
    if question.is_secret:
        # Few logins have a passphrase or a password.
        from getpass import getpass

        with contextlib.suppress(EOFError):
            return getpass(question.text) or None
        return None
    return _read_reply(question.text).strip() or None


def confirm(question: str) -> bool:
    """Ask for yes or no; return True for a reply that begins with y. The end of the input means no."""
    _discard_typeahead()
    return _read_reply(f"{question} [y/N] ").strip().lower().startswith("y")


def _discard_typeahead() -> None:
    # Input that was typed before the question was shown does not answer it.
    with contextlib.suppress(termios.error):
        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _read_reply(prompt: str) -> str:
    """Return the line that the user enters; empty at the end of the input."""
    try:
        _write(prompt)
        reply = sys.stdin.readline()
    except (OSError, UnicodeError):
        # The terminal was closed, or the reply is not text.
        return ""
    except KeyboardInterrupt:
        _end_line()
        raise
    if not reply:
        _end_line()
    return reply


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _end_line() -> None:
    # Neither Ctrl-C nor Ctrl-D ends the line of the question.
    with contextlib.suppress(OSError):
        _write("\n")
