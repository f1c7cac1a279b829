"""The background work of the prompt."""

import asyncio
from collections.abc import Iterator

import pytest
from prompt_toolkit.application import Application
from prompt_toolkit.input import DummyInput
from prompt_toolkit.output import DummyOutput

from mclu_shell.shell.background import redraw


class EndingApplication(Application[None]):
    """An application that loses its event loop after some uses, as when the main thread ends the prompt."""

    def __init__(self, uses: int) -> None:
        self._event_loop = asyncio.new_event_loop()
        self._uses = uses
        super().__init__(input=DummyInput(), output=DummyOutput())
        self._is_running = True

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        self._uses -= 1
        return self._event_loop if self._uses >= 0 else None

    @loop.setter
    def loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        pass

    def close(self) -> None:
        self._event_loop.close()


@pytest.fixture(params=range(5))
def app(request: pytest.FixtureRequest) -> Iterator[EndingApplication]:
    app = EndingApplication(request.param)
    yield app
    app.close()


def test_redrawing_a_prompt_that_ends_at_that_moment_does_nothing(app: EndingApplication) -> None:
    redraw(app)


def test_redrawing_after_the_event_loop_is_closed_does_nothing() -> None:
    app = EndingApplication(9)
    app.close()
    redraw(app)
