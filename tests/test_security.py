"""docs/security.md: each promise has tests, and all of them exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
PROMISES = [
    line
    for table in re.findall(
        r"^\| promise.*?(?=\n\n)", (ROOT / "docs/security.md").read_text(), re.DOTALL | re.MULTILINE
    )
    for line in table.splitlines()[2:]
]


@cache
def names(path: str) -> set[str]:
    """Return the names of the tests of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("line", PROMISES, ids=lambda line: line.split("|")[1].strip()[:40])
def test_each_promise_has_tests_that_exist(line: str) -> None:
    tests = TEST.findall(line.split("|")[2])
    assert tests
    assert len(tests) == line.count("::")
    assert [name for path, name in tests if name not in names(path)] == []


def test_the_tables_of_promises_are_read() -> None:
    assert len(PROMISES) > 15
