"""The answer to the completion of bash, zsh or fish, each in its own form."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mclu_shell.language.tail import tail
from mclu_shell.shell_completion.command_line import complete_oneshot

if TYPE_CHECKING:
    import argparse

    from mclu_shell.argtypes.types import Candidate


def answer(asked: Sequence[str], options: Sequence["argparse.Action"]) -> str:
    """What is printed for `--complete SHELL …`; `options` are mclu's own.

    bash gives its COMP_TYPE, COMP_WORDBREAKS and the line up to the cursor; zsh and fish the words behind `mclu`,
    without their quotes, the last of them up to the cursor.
    """
    match asked:
        case "bash", kind, breaks, line if (end := tail(line)) is not None and end.words:
            from mclu_shell.shell_completion.bash import bash_answer

            found = complete_oneshot(end.words[1:], end.word, options)
            return bash_answer(found, line[end.start :], breaks, is_list=kind == _LISTING)
        case "zsh", *words, word:
            return _for_zsh(complete_oneshot(words, word, options))
        case "fish", *words, word:
            found = complete_oneshot(words, word, options)
            return "".join(f"{one.text}\t{one.description}\n" for one in found)
        case _:
            return ""


# bash(1): Tab was pressed again, to see what there is; nothing is typed for it.
_LISTING = "63"


def _for_zsh(found: Sequence["Candidate"]) -> str:
    """Whether the word can end so, the word, and what the menu shows."""
    width = max((len(one.display or one.text) for one in found), default=0)
    return "".join(f"{one.is_complete:d}\t{one.text}\t{_in_menu(one, width)}\n" for one in found)


def _in_menu(one: "Candidate", width: int) -> str:
    text = one.display or one.text
    return f"{text.ljust(width)}  -- {one.description}" if one.description else text
