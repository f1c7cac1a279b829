"""Fixtures for tests of the prompt: interactive shells in terminals."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.shell.terminal import Terminal


@pytest.fixture(autouse=True)
def _own_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Start mclu in terminals, by default with `--demo`; each ends with the test."""
    with ExitStack() as stack:

        def start(*words: str) -> Terminal:
            started = Terminal(*(words or ("--demo",)))
            stack.callback(started.close)
            started.expect_prompt()
            return started

        yield start


@pytest.fixture
def shell(terminal: Callable[..., Terminal]) -> Terminal:
    """Start mclu's demo in a terminal."""
    return terminal()
