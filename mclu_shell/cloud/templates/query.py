"""One query of a template: its output, that it does not support the parameter, or an error with the cause."""

import signal
from collections.abc import Mapping
from pathlib import Path

from mclu_shell.cloud.templates.runner import Reply, run_template
from mclu_shell.cloud.templates.script_file import explain_failure
from mclu_shell.errors import TemplateError

UNKNOWN_PARAMETER = 2
NO_PARAMETER = "no-such-parameter"
_LONGEST_SHOWN = 60
_LONGEST_MESSAGE = 200


def query(path: Path, parameter: str, environment: Mapping[str, str] | None = None) -> str | None:
    """Return a template's output for a parameter; None if it does not support the parameter."""
    reply = run_template(path, parameter, environment)
    if reply.status == UNKNOWN_PARAMETER and _is_unsupported(path, parameter, environment, reply):
        return None
    if reply.status:
        raise _failure(path, parameter, reply)
    return reply.text


def query_required(path: Path, parameter: str) -> str:
    """Return a template's output for a parameter that it must support."""
    reply = run_template(path, parameter)
    if reply.status == UNKNOWN_PARAMETER and reply.is_silent:
        raise TemplateError(f"{parameter!r} is not supported")
    if reply.status:
        raise _failure(path, parameter, reply)
    return reply.text


def shown(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """Return a template's output escaped for a terminal, and shortened."""
    return repr(text if len(text) <= longest else text[: longest - 1] + "…")


def _is_unsupported(path: Path, parameter: str, environment: Mapping[str, str] | None, reply: Reply) -> bool:
    """Return whether status 2 means an unknown parameter.

    dash also exits with 2 for an unset variable or a syntax error, and so do ls, grep and Python. All of these print a
    message. A template may print a message for unknown parameters, too: it is the same one for any other.
    """
    if reply.is_silent:
        return True
    other = run_template(path, NO_PARAMETER, environment)
    return (other.status, *_without_name(other, NO_PARAMETER)) == (reply.status, *_without_name(reply, parameter))


def _without_name(reply: Reply, parameter: str) -> tuple[str, str]:
    return reply.text.replace(parameter, ""), reply.error_text.replace(parameter, "")


def _failure(path: Path, parameter: str, reply: Reply) -> TemplateError:
    """Return the error for a failed run: the fault of the file, or else the status and the last message."""
    if (fault := explain_failure(path)) is not None:
        return fault
    if reply.status < 0:
        return TemplateError(f"{parameter}: killed by {signal.Signals(-reply.status).name}")
    message = f" ({shown(reply.last_error_line, _LONGEST_MESSAGE)})" if reply.last_error_line else ""
    remedy = ""
    if reply.status == UNKNOWN_PARAMETER:
        remedy = f"use status {UNKNOWN_PARAMETER} only for a parameter that the template does not support"
    return TemplateError(f"{parameter}: exit status {reply.status}{message}", remedy=remedy)
