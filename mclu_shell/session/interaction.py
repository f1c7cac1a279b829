"""The interface between a session and its user at a terminal."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from mclu_shell.command import Prompt
from mclu_shell.errors import Question
from mclu_shell.language.line import Line


def _unchanged(line: Line) -> Iterable[Line]:
    return (line,)


def _ignore(_line: Line, _status: int) -> None:
    pass


class Interaction(NamedTuple):
    """Everything that needs a user at a terminal; the defaults are those of pipes, scripts and cron jobs.

    Single commands and -c lines at a terminal have `confirm`. All else needs the interactive shell.
    """

    # Asks a yes-or-no question.
    confirm: Callable[[str], bool] | None = None
    # Prompts for the reply to a node's question; None at the end of the input.
    ask: Callable[[Question], str | None] | None = None
    # Returns the keys that the prompt has already read behind the current line.
    take_typed_ahead: Callable[[], bytes] | None = None
    # The state that commands such as `alias` and `history` show and change.
    prompt: Prompt | None = None
    # Replaces an alias by its lines.
    expand: Callable[[Line], Iterable[Line]] = _unchanged
    # Records a command of an entered line with its exit status; commands of scripts are not recorded.
    record: Callable[[Line, int], None] = _ignore
