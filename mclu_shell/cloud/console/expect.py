"""Search of a guest's console output, without taking the console from another user."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from mclu_shell.cloud.console.devices import fetch_domain
from mclu_shell.cloud.console.log import follow_log, is_from_start
from mclu_shell.cloud.console.regex import Regex
from mclu_shell.cloud.console.session import open_console, require_console
from mclu_shell.cloud.console.text import ConsoleText
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import Refused

_CHUNK = 65536


class ConsoleWatcher:
    """A thread that reads console output until a line matches, or until the output ends; then it sets `waiter`.

    `match` is that line. `is_from_start` is true if the output begins at the guest's start or last reboot.
    """

    def __init__(self, expression: Regex, chunks: Iterable[bytes], waiter: threading.Event) -> None:
        self.match: str | None = None
        self.is_from_start = False
        self._done = threading.Event()
        self._text = ConsoleText(expression)
        self._waiter = waiter
        threading.Thread(target=self._read, args=(chunks,), daemon=True).start()

    @property
    def last_line(self) -> str:
        """Last line that is not empty."""
        return self._text.last_line

    def is_done(self, timeout_s: float = 0.0) -> bool:
        """Return True if reading has ended, or ends within the timeout."""
        return self._done.wait(timeout_s)

    def _read(self, chunks: Iterable[bytes]) -> None:
        try:
            with suppress(OSError):
                for data in chunks:
                    self.match = self._text.feed(data)
                    if self.match is not None:
                        break
        finally:
            self._done.set()
            self._waiter.set()


@contextmanager
def watch_console(node: Node, name: str, expression: Regex, waiter: threading.Event) -> Iterator[ConsoleWatcher]:
    """Watch a running guest's console: read its log, or hold the console itself if there is no log."""
    require_console(node, name)
    domain = fetch_domain(node, name, "consoles")
    with follow_log(node, domain) as chunks:
        if chunks is not None:
            watcher = ConsoleWatcher(expression, chunks, waiter)
            watcher.is_from_start = is_from_start(domain)
            yield watcher
            return
    with _holding_console(node, name) as chunks:
        yield ConsoleWatcher(expression, chunks, waiter)


@contextmanager
def _holding_console(node: Node, name: str) -> Iterator[Iterator[bytes]]:
    with ExitStack() as stack:
        try:
            console = stack.enter_context(open_console(node, name))
        except Refused as error:
            fact = f"the console of {name} is in use, and has no log to read instead"
            raise Refused(fact, place=node.name, remedy="retry when it is free") from error
        yield iter(lambda: console.socket.recv(_CHUNK), b"")
