"""The words of mclu: plain technical English in docstrings, comments, help, errors and documentation."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Sentences begin with a thing or a verb, not with a clause.
CLAUSE = re.compile(
    r"(?:^|[.:;!?]\s+)(What|Whether|Which|Who|Whom|Whoever|Whose|That which)\s+(?!is\b[^.]*\?)\w", re.MULTILINE
)
# Everyday words where the field has a term: message, output, connection, lock, retry, read-only, ...
WORDS = re.compile(
    r"\b(told|said|heard|somebody|nobody|whoever|whomever|whatever|meanwhile|anew|lest|in vain|for want of|as ever"
    r"|once more|all the same|(?:has|have|had) it \w+|(?:is|are) to be|go(?:es)? on|to be had|spared"
    r"|whose turn|(?:its|his|one's) turn)\b",
    re.IGNORECASE,
)
# Where a listed word is the right one: file, text, reason.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("mclu_shell/output/schema/guest_changes.py", "told to reboot"): "a value of the JSON interface",
    ("tests/output/test_json_renderer.py", "told to reboot"): "the same",
}
MOST_EXCEPTIONS = 10


@cache
def tracked() -> list[str]:
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def is_python(path: str) -> bool:
    return path.endswith(".py") or (
        path.startswith("scripts/") and (ROOT / path).read_text(encoding="utf-8").startswith("#!/usr/bin/env python")
    )


def is_shell(path: str) -> bool:
    return path.endswith((".template", ".mclu", ".example", ".bash", ".zsh", ".fish", "pyproject.toml")) or (
        path.startswith(("scripts/", ".ci/")) and not is_python(path)
    )


def python_texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring, comment and string of several words."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.count(" ") > 1:
            yield node.lineno, node.value
    comment: list[str] = []
    begun = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith("#!"):
            if token.start[0] != last + 1:
                if comment:
                    yield begun, " ".join(comment)
                comment, begun = [], token.start[0]
            comment.append(token.string.lstrip("# "))
            last = token.start[0]
    if comment:
        yield begun, " ".join(comment)


def shell_texts(source: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.splitlines(), start=1):
        if (found := re.match(r"\s*#(?!!)\s*(.*)", line)) is not None:
            yield number, found[1]


def markdown_texts(source: str) -> Iterator[tuple[int, str]]:
    # Code blocks show what programs print, and commands.
    prose = re.sub(r"^```.*?^```", lambda code: "\n" * code[0].count("\n"), source, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"`[^`\n]*`", "x", prose)
    for number, line in enumerate(prose.splitlines(), start=1):
        yield number, re.sub(r"^\s*(?:[-*>#|]+|\d+\.)\s*", "", line)


def texts(path: str) -> list[tuple[int, str]]:
    source = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return list(markdown_texts(source))
    return list(python_texts(source) if is_python(path) else shell_texts(source))


CHECKED = [path for path in tracked() if path.endswith(".md") or is_python(path) or is_shell(path)]
CHECKED.remove("tests/test_vocabulary.py")


@pytest.mark.parametrize("path", CHECKED)
def test_a_text_is_in_plain_english(path: str) -> None:
    found = [
        f"{path}:{line}: {match[0]!r} in {' '.join(text.split())[:160]!r}"
        for line, text in texts(path)
        for rule in (CLAUSE, WORDS)
        for match in rule.finditer(text)
        if not any(file == path and words in text for file, words in EXCEPTIONS)
    ]
    assert not found, "\n".join(found)


def test_exceptions_are_few_and_used() -> None:
    assert len(EXCEPTIONS) <= MOST_EXCEPTIONS
    for file, words in EXCEPTIONS:
        assert any(words in text for _, text in texts(file))
