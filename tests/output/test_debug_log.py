"""The log of -v, which quotes nodes."""

import io
import logging

from mclu_shell.output.debug_log import DebugHandler


def logged(message: str, *values: object, error: BaseException | None = None) -> str:
    stream = io.StringIO()
    handler = DebugHandler()
    handler.setStream(stream)
    exception = (type(error), error, None) if error else None
    handler.emit(logging.LogRecord("mclu_shell", logging.DEBUG, "", 0, message, values, exception))
    return stream.getvalue()


def test_text_of_a_node_cannot_control_the_terminal_or_forge_a_line() -> None:
    line = logged("%s: %s", "ham0", "\x1b]0;title\x07\x9b2J\nmclu: forged")
    assert line == "mclu: debug: ham0:  ]0;title  2J mclu: forged\n"


def test_long_text_is_cut() -> None:
    assert len(logged("%s", "x" * (4 << 20))) < 3000
    assert len(logged("failed", error=ValueError("x" * (4 << 20)))) < 100_000


def test_a_traceback_keeps_its_lines_and_loses_control_characters() -> None:
    assert logged("failed", error=ValueError("\x1b[2J")) == "mclu: debug: failed\nValueError:  [2J\n"
