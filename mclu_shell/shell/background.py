"""What goes on behind the prompt: the nodes are kept connected, and the prompt is told of changes."""

import threading
from collections.abc import Callable

from mclu_shell.errors import MCluError
from mclu_shell.session.session import Session
from mclu_shell.shell.toolbar import toolbar_text

# What can be set at the prompt, and is.
DEFAULTS = {"alerts": "on"}


class Live:
    """Begins when the prompt stands; `redraw` and `alert` may be called by any thread."""

    def __init__(
        self, session: Session, redraw: Callable[[], None], settings: dict[str, str], alert: Callable[[str], None]
    ) -> None:
        self._session = session
        self._settings = settings
        self._redraw = redraw
        self._alert = alert
        self._is_begun = False
        # The line below the prompt is wanted with every key, and counts all guests: it is made once for each change.
        self._line = ""
        self._is_stale = True
        # What it was made for, beside what is known: the width, and the nodes that were woken.
        self._shape: tuple[int, frozenset[str]] = (0, frozenset())

    def begin(self) -> None:
        """Connect the nodes in the background, and be ready for the first Tab; a second call does nothing."""
        if not self._is_begun:
            self._is_begun = True
            # Importing what these need takes longer than a person likes to wait for a key to be shown.
            for work in (self._connect, _prepare_completion):
                threading.Thread(target=work, daemon=True).start()

    def _connect(self) -> None:
        try:
            cloud = self._session.open_cloud()
        except MCluError:
            # The command that needs the cloud tells.
            return
        cloud.supervise(self._changed, self._tell)

    def _changed(self) -> None:
        self._is_stale = True
        self._redraw()

    def _tell(self, words: str) -> None:
        if self._settings["alerts"] == "on":
            self._alert(words)

    def toolbar(self, width: int) -> str:
        """The line below the prompt."""
        if (cloud := self._session.opened) is None:
            return ""
        shape = (width, frozenset(node.name for node in cloud.nodes if node.expected.is_waking()))
        if self._is_stale or shape != self._shape:
            # Before it is looked at: what changes meanwhile has it made once more.
            self._is_stale = False
            self._shape = shape
            self._line = toolbar_text(cloud.snapshot, *shape)
        return self._line


def _prepare_completion() -> None:
    from mclu_shell.completion import prepare

    prepare()
