"""Commands as text again, as a script would have them."""

import shlex

from mclu_shell.errors import UsageError
from mclu_shell.language.line import Line
from mclu_shell.language.parser import parse


def written(line: Line) -> str:
    """The text of a command, which reads back as the same one; empty if no text does."""
    text = f"{'-' * line.may_fail}{f'!{line.shell}' if line.shell else _command(line)}"
    return text if _is_plain(text) and _reads_back(text, line) else ""


def _command(line: Line) -> str:
    first, *others = line.words
    # A dash before a command is not of it.
    name = f"'{first}'" if first.startswith("-") and shlex.quote(first) == first else shlex.quote(first)
    text = " ".join([name, *map(shlex.quote, others)])
    if line.pipe:
        return f"{text} | {line.pipe}"
    return f"{text} {'>>' if line.append else '>'} {shlex.quote(line.output)}" if line.output else text


def _is_plain(text: str) -> bool:
    """Whether it can be shown, and saved, as it is."""
    return all(char.isprintable() or char in "\n\t" for char in text)


def _reads_back(text: str, line: Line) -> bool:
    try:
        (back,) = parse(text)
    except (UsageError, ValueError):
        return False
    fields = ("words", "pipe", "output", "append", "shell", "may_fail")
    return all(getattr(back, field) == getattr(line, field) for field in fields)
