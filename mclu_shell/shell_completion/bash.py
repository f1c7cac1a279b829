"""What bash is told: it replaces only what stands behind the last of COMP_WORDBREAKS, and quotes nothing."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mclu_shell.language.tail import tail

if TYPE_CHECKING:
    from mclu_shell.argtypes.types import Candidate

_SPECIAL = re.compile(r"[^\w@%+=:,./-]")
_SPECIAL_IN_DOUBLE_QUOTES = re.compile(r'[\\"$`]')


def bash_answer(found: Sequence["Candidate"], raw: str, breaks: str, *, is_list: bool) -> str:
    """A line that is `nospace` if more can follow at once, and a line for each candidate.

    `raw` is the word so far as it was typed. With `is_list`, what is known of each stands beside it.
    """
    start, quote = _begin(raw, breaks)
    # What stands before stays as it is.
    kept = tail(f"x {raw[: start - len(quote)]}")
    lead = kept.word if kept is not None else ""
    fitting = [one for one in found if one.text.startswith(lead) and not (quote == "'" and "'" in one.text)]
    texts = [_quoted(one.text[len(lead) :], quote, is_begin=not lead) for one in fitting]
    if is_list and len(fitting) > 1:
        width = max(len(one.display or one.text) for one in fitting)
        texts = [_in_list(one, width) for one in fitting]
    nospace = len(fitting) == 1 and not fitting[0].is_complete
    return "".join(f"{line}\n" for line in ("nospace" if nospace else "", *texts))


def _in_list(one: "Candidate", width: int) -> str:
    text = one.display or one.text
    return f"{text.ljust(width)}  ({one.description})" if one.description else text


def _begin(raw: str, breaks: str) -> tuple[int, str]:
    """Where the part begins that readline replaces, and the quote that is open there."""
    start, quote, opened = 0, "", 0
    quoted = False
    for at, char in enumerate(raw):
        if quoted:
            quoted = False
        elif char == "\\" and quote != "'":
            quoted = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote, opened = char, at + 1
        elif char in breaks:
            start = at + 1
    return (opened, quote) if quote else (start, "")


def _quoted(text: str, quote: str, *, is_begin: bool) -> str:
    if quote:
        return _SPECIAL_IN_DOUBLE_QUOTES.sub(_escaped, text) if quote == '"' else text
    # Quoted, it would not be the home directory.
    home = "~/" if is_begin and text.startswith("~/") else ""
    return home + _SPECIAL.sub(_escaped, text[len(home) :])


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"
