"""Hearing what a guest writes on its console, without disturbing whoever has it."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from mclu_shell.cloud.console.devices import fetch_domain
from mclu_shell.cloud.console.log import follow_log
from mclu_shell.cloud.console.regex import Regex
from mclu_shell.cloud.console.session import open_console, require_console
from mclu_shell.cloud.console.text import ConsoleText
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import Refused

_CHUNK = 65536


class ConsoleWatcher:
    """Listens on a thread of its own until an expression is `match`, or there is nothing more to hear.

    Then it rings the bell. `is_from_start` says whether it has heard all since the guest was started.
    """

    def __init__(self, expression: Regex, chunks: Iterable[bytes], waiter: threading.Event) -> None:
        self.match: str | None = None
        self.is_from_start = False
        self._done = threading.Event()
        self._text = ConsoleText(expression)
        self._waiter = waiter
        threading.Thread(target=self._listen, args=(chunks,), daemon=True).start()

    @property
    def last_line(self) -> str:
        """The last line heard that is not empty."""
        return self._text.last_line

    def is_done(self, timeout_s: float = 0.0) -> bool:
        """Whether it listens no more, or not after this time."""
        return self._done.wait(timeout_s)

    def _listen(self, chunks: Iterable[bytes]) -> None:
        with suppress(OSError):
            for data in chunks:
                self.match = self._text.feed(data)
                if self.match is not None:
                    break
        self._done.set()
        self._waiter.set()


@contextmanager
def watch_console(node: Node, name: str, expression: Regex, waiter: threading.Event) -> Iterator[ConsoleWatcher]:
    """Hear a running guest's console: from its log, or, where none is kept, by having the console meanwhile."""
    require_console(node, name)
    with follow_log(node, fetch_domain(node, name, "consoles")) as chunks:
        if chunks is not None:
            watcher = ConsoleWatcher(expression, chunks, waiter)
            watcher.is_from_start = True
            yield watcher
            return
    with _having_console(node, name) as chunks:
        yield ConsoleWatcher(expression, chunks, waiter)


@contextmanager
def _having_console(node: Node, name: str) -> Iterator[Iterator[bytes]]:
    with ExitStack() as stack:
        try:
            console = stack.enter_context(open_console(node, name))
        except Refused as error:
            told = f"somebody has the console of {name}, and no log of it is kept"
            raise Refused(told, place=node.name, remedy="try again when it is free") from error
        yield iter(lambda: console.socket.recv(_CHUNK), b"")
