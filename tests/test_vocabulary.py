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
# Words that begin a clause. A docstring begins with a verb, or names a thing.
FIRST_WORDS = {
    "what",
    "whether",
    "which",
    "who",
    "whom",
    "whoever",
    "where",
    "how",
    "why",
    "that",
    "those",
    "nothing",
    "nobody",
}
# Words that refer to another test or to the file. A test's name stands alone in a report.
FIRST_WORDS_OF_TESTS = FIRST_WORDS | {"it", "its", "they", "of", "nor", "neither", "also", "so", "then", "there", "if"}
# Asyncssh has 0.4, virtinst 0.4, beets 0.3.
MOST_WHAT_PER_1000_WORDS = 2.0


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
    yield from comments(source)


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield the first line and the text of each comment; comments on consecutive lines are one."""
    block: list[str] = []
    begun = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith("#!"):
            if block and token.start[0] != last + 1:
                yield begun, " ".join(block)
                block = []
            begun = begun if block else token.start[0]
            block.append(token.string.lstrip("# "))
            last = token.start[0]
    if block:
        yield begun, " ".join(block)


def docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def shell_texts(source: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.splitlines(), start=1):
        if (comment := re.match(r"\s*#(?!!)\s*(.*)", line)) is not None:
            yield number, comment[1]


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
PYTHON = [path for path in tracked() if is_python(path)]


@pytest.mark.parametrize("path", CHECKED)
def test_a_text_is_in_plain_english(path: str) -> None:
    violations = [
        f"{path}:{line}: {match[0]!r} in {' '.join(text.split())[:160]!r}"
        for line, text in texts(path)
        for rule in (CLAUSE, WORDS)
        for match in rule.finditer(text)
        if not any(file == path and words in text for file, words in EXCEPTIONS)
    ]
    assert not violations, "\n".join(violations)


def test_exceptions_are_few_and_used() -> None:
    assert len(EXCEPTIONS) <= MOST_EXCEPTIONS
    for file, words in EXCEPTIONS:
        assert any(words in text for _, text in texts(file))


def test_clauses_with_what_are_rare_in_the_package() -> None:
    sources = [(ROOT / path).read_text(encoding="utf-8") for path in PYTHON if path.startswith("mclu_shell/")]
    prose = [text for source in sources for text in (*docstrings(source), *(text for _, text in comments(source)))]
    words = re.findall(r"[a-z']+", " ".join(prose).lower())
    assert 1000 * words.count("what") / len(words) <= MOST_WHAT_PER_1000_WORDS


@pytest.mark.parametrize("path", PYTHON)
def test_a_docstring_does_not_begin_with_a_clause(path: str) -> None:
    for text in docstrings((ROOT / path).read_text(encoding="utf-8")):
        assert re.split(r"\W", text.lower(), maxsplit=1)[0] not in FIRST_WORDS, text


@pytest.mark.parametrize("path", [path for path in PYTHON if path.startswith("tests/")])
def test_the_name_of_a_test_stands_alone(path: str) -> None:
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            assert node.name.split("_")[1] not in FIRST_WORDS_OF_TESTS, node.name
