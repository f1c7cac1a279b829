"""Completion in bash, which replaces only the text after the last of COMP_WORDBREAKS, and quotes nothing."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mclu_shell.language.tail import tail

if TYPE_CHECKING:
    from mclu_shell.argtypes.types import Candidate

_SPECIAL = re.compile(r"[^\w@%+=:,./-]")
_SPECIAL_IN_DOUBLE_QUOTES = re.compile(r'[\\"$`]')


def format_for_bash(candidates: Sequence["Candidate"], typed: str, breaks: str, *, is_list: bool) -> str:
    """Return a line that is `nospace` for a single incomplete candidate or else empty, then a line for each candidate.

    `typed` is the word up to the cursor with its quotes, `breaks` is COMP_WORDBREAKS. With `is_list`, bash only shows
    the candidates, so their descriptions follow them.
    """
    start, quote = _replaced_part(typed, breaks)
    # bash keeps the text before.
    kept = tail(f"x {typed[: start - len(quote)]}")
    prefix = kept.word if kept is not None else ""
    matches = [one for one in candidates if one.text.startswith(prefix) and not (quote == "'" and "'" in one.text)]
    lines = [_quoted(one.text[len(prefix) :], quote, is_start=not prefix) for one in matches]
    if is_list and len(matches) > 1:
        width = max(len(one.display or one.text) for one in matches)
        lines = [_list_entry(one, width) for one in matches]
    nospace = len(matches) == 1 and not matches[0].is_complete
    return "".join(f"{line}\n" for line in ("nospace" if nospace else "", *lines))


def _list_entry(candidate: "Candidate", width: int) -> str:
    text = candidate.display or candidate.text
    return f"{text.ljust(width)}  ({candidate.description})" if candidate.description else text


def _replaced_part(typed: str, breaks: str) -> tuple[int, str]:
    """Return the index at which readline's replacement starts, and the open quote there, if any."""
    start, quote, quote_start = 0, "", 0
    is_escaped = False
    for at, char in enumerate(typed):
        if is_escaped:
            is_escaped = False
        elif char == "\\" and quote != "'":
            is_escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote, quote_start = char, at + 1
        elif char in breaks:
            start = at + 1
    return (quote_start, quote) if quote else (start, "")


def _quoted(text: str, quote: str, *, is_start: bool) -> str:
    if quote:
        return _SPECIAL_IN_DOUBLE_QUOTES.sub(_escaped, text) if quote == '"' else text
    # With an escaped `~`, it would not be the home directory.
    home = "~/" if is_start and text.startswith("~/") else ""
    return home + _SPECIAL.sub(_escaped, text[len(home) :])


def _escaped(match: re.Match[str]) -> str:
    return f"\\{match[0]}"
