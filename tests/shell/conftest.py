"""Shells in terminals, for tests of the prompt."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.shell.terminal import Terminal


@pytest.fixture(autouse=True)
def _own_history(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Starts programs in terminals, mclu's demo if nothing else is said; they end with the test."""
    with ExitStack() as stack:

        def start(*words: str) -> Terminal:
            started = Terminal(*(words or ("--demo",)))
            stack.callback(started.close)
            started.expect_prompt()
            return started

        yield start


@pytest.fixture
def shell(terminal: Callable[..., Terminal]) -> Terminal:
    """The demo's prompt."""
    return terminal()
