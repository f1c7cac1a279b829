"""The protocol between `mclu --complete` and the completion functions of bash, zsh and fish."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mclu_shell.language.tail import tail
from mclu_shell.shell_completion.bash import format_for_bash
from mclu_shell.shell_completion.command_line import complete_command_line

if TYPE_CHECKING:
    import argparse

    from mclu_shell.argtypes.types import Candidate

# COMP_TYPE at a second Tab, which lists the candidates and inserts none (bash(1)).
_LISTING = "63"


def complete_for_shell(arguments: Sequence[str], options: Sequence["argparse.Action"]) -> str:
    """Return the output of `--complete SHELL …`; empty for invalid arguments. `options` are mclu's global options.

    bash passes COMP_TYPE, COMP_WORDBREAKS and the line up to the cursor. zsh and fish pass the words after `mclu`
    without their quotes, the last one up to the cursor.
    """
    match arguments:
        case "bash", comp_type, breaks, line if (end := tail(line)) is not None and end.words:
            candidates = complete_command_line(end.words[1:], end.word, options)
            return format_for_bash(candidates, line[end.start :], breaks, is_list=comp_type == _LISTING)
        case "zsh", *words, word:
            return _format_for_zsh(complete_command_line(words, word, options))
        case "fish", *words, word:
            candidates = complete_command_line(words, word, options)
            return "".join(f"{one.text}\t{one.description}\n" for one in candidates)
        case _:
            return ""


def _format_for_zsh(candidates: Sequence["Candidate"]) -> str:
    """Return a line for each candidate: 1 if a blank may follow, the word, and its entry in the menu."""
    width = max((len(one.display or one.text) for one in candidates), default=0)
    return "".join(f"{one.is_complete:d}\t{one.text}\t{_menu_entry(one, width)}\n" for one in candidates)


def _menu_entry(candidate: "Candidate", width: int) -> str:
    text = candidate.display or candidate.text
    return f"{text.ljust(width)}  -- {candidate.description}" if candidate.description else text
