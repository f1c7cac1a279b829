"""Lines as text again, for scripts."""

import shlex

from mclu_shell.errors import UsageError
from mclu_shell.language.line import Line
from mclu_shell.language.parser import parse


def unparse(line: Line) -> str:
    """Return a text that parses to the given line, or an empty string if there is none."""
    text = f"{'-' * line.may_fail}{f'!{line.shell}' if line.shell else _command(line)}"
    return text if _is_printable(text) and _parses_to(text, line) else ""


def _command(line: Line) -> str:
    first, *others = line.words
    # An unquoted dash before a command would mean `may_fail`.
    name = f"'{first}'" if first.startswith("-") and shlex.quote(first) == first else shlex.quote(first)
    text = " ".join([name, *map(shlex.quote, others)])
    if line.pipe:
        return f"{text} | {line.pipe}"
    return f"{text} {'>>' if line.append else '>'} {shlex.quote(line.output)}" if line.output else text


def _is_printable(text: str) -> bool:
    return all(char.isprintable() or char in "\n\t" for char in text)


def _parses_to(text: str, line: Line) -> bool:
    try:
        (back,) = parse(text)
    except (UsageError, ValueError):
        return False
    fields = ("words", "pipe", "output", "append", "shell", "may_fail")
    return all(getattr(back, field) == getattr(line, field) for field in fields)
