"""The log of `-v` on standard error."""

import logging

from mclu_shell.output.text_renderer import printable

_LONGEST_TRACEBACK = 1 << 16
_format_exception = logging.Formatter().formatException


class DebugHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes messages; text of a node in them can neither control nor fill the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a message, and the traceback of its error."""
        line = f"mclu: debug: {printable(record.getMessage())}"
        if not record.exc_info:
            return line
        traceback = printable(_format_exception(record.exc_info), "\n", _LONGEST_TRACEBACK)
        return f"{line}\n{traceback}"
