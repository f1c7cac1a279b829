"""The background work of the prompt: connect the nodes, report changes, and load completion."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from prompt_toolkit.application import Application

from mclu_shell.errors import MCluError
from mclu_shell.session.session import Session
from mclu_shell.shell.toolbar import toolbar_text

# All settings of the command `set`.
DEFAULT_SETTINGS = {"alerts": "on"}


class NodeMonitor:
    """Keeps the nodes connected, and provides the toolbar and the alerts of the prompt.

    It calls `redraw` and `alert` in any thread.
    """

    def __init__(
        self, session: Session, redraw: Callable[[], None], settings: dict[str, str], alert: Callable[[str], None]
    ) -> None:
        self._session = session
        self._settings = settings
        self._redraw = redraw
        self._alert = alert
        self._is_started = False
        # prompt_toolkit asks for the toolbar after each key, and it counts all guests: cached until something changes.
        self._toolbar = ""
        self._is_stale = True
        # The cached toolbar also depends on the width and the woken nodes.
        self._toolbar_key: tuple[int, frozenset[str]] = (0, frozenset())

    def start(self) -> None:
        """Connect the nodes and load completion in background threads; do nothing at later calls."""
        if not self._is_started:
            self._is_started = True
            # Both import for so long that it would delay the echo of keys.
            for work in (self._connect, _load_completion):
                threading.Thread(target=work, daemon=True).start()

    def _connect(self) -> None:
        try:
            cloud = self._session.open_cloud()
        except MCluError:
            # The first command that needs the cloud reports the error.
            return
        cloud.supervise(self._on_change, self._on_alert)

    def _on_change(self) -> None:
        self._is_stale = True
        self._redraw()

    def _on_alert(self, message: str) -> None:
        if self._settings["alerts"] == "on":
            self._alert(message)

    def toolbar(self, width: int) -> str:
        """Return the text of the line below the prompt; empty until the cloud is open."""
        if (cloud := self._session.opened) is None:
            return ""
        key = (width, frozenset(node.name for node in cloud.nodes if node.expected.is_waking()))
        if self._is_stale or key != self._toolbar_key:
            # Reset before the snapshot is read, so that a change during the computation is not lost.
            self._is_stale = False
            self._toolbar_key = key
            self._toolbar = toolbar_text(cloud.snapshot, *key)
        return self._toolbar


def redraw(app: Application[Any]) -> None:
    """Draw the prompt again, from any thread; do nothing while no prompt is shown."""
    # prompt_toolkit checks the event loop and then uses it. If the prompt ends in between, the loop is None or closed.
    with contextlib.suppress(RuntimeError, AttributeError):
        app.invalidate()


def _load_completion() -> None:
    from mclu_shell.completion import prepare

    # The completion itself, or the command, reports the error.
    with contextlib.suppress(OSError, ImportError):
        prepare()
