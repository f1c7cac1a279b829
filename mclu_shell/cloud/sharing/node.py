"""A node of a one-shot that asks an open shell instead of the node.

That needs neither a connection nor libvirt, whose import takes longer than the shell's answer. If the shell does not
answer at once, the one-shot asks the node itself.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mclu_shell.cloud.concurrency.fanout import first_success
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.sharing.client import ShareRequest
from mclu_shell.cloud.sharing.transport import SharedTransport
from mclu_shell.cloud.state.guest import Guest, NodeReport
from mclu_shell.cloud.state.json_codec import guests_from_json, report_from_json
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.config import NodeConfig
from mclu_shell.errors import ConnectionLost
from mclu_shell.parsing.limits import InvalidData

T = TypeVar("T")


class SharedNode(Node):
    """A node whose open shell answers at the socket `shell`; otherwise it is asked through `transport`."""

    def __init__(self, config: NodeConfig, transport: SharedTransport, shell: Path) -> None:
        super().__init__(config, transport)
        self._shared_transport = transport
        self._shell = shell

    @property
    def is_shared(self) -> bool:
        """True as long as the open shell answers for the node."""
        return self._shared_transport.is_good

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that a query imports: none as long as the shell answers."""
        return () if self.is_shared else super().modules

    def fetch_report(self, *, unchecked: bool = False) -> NodeReport:
        """Return the node's resources and all its guests; `unchecked` as for `Node.query`."""
        since = self.store.event_count

        def read(answer: Any) -> NodeReport:
            report = report_from_json(answer)
            self.store.apply_report(report, since)
            return report

        return self._ask_shell({"question": "report"}, read, partial(super().fetch_report, unchecked=unchecked))

    def fetch_guests(
        self, *, active: bool | None = None, addresses: bool = False, unchecked: bool = False
    ) -> tuple[Guest, ...]:
        """Return the guests: running, not running, or (None) all; known `addresses` cost more calls."""
        since = self.store.event_count

        def read(answer: Any) -> tuple[Guest, ...]:
            guests = guests_from_json(answer)
            self.store.apply_guests(guests, active, since)
            return guests

        request = {"question": "guests", "active": active, "addresses": addresses}
        ask_node = partial(super().fetch_guests, active=active, addresses=addresses, unchecked=unchecked)
        return self._ask_shell(request, read, ask_node)

    def _ask_shell(self, request: dict[str, Any], read: Callable[[Any], T], ask_node: Callable[[], T]) -> T:
        """Return the shell's answer; ask the node itself if the shell has none, or an invalid one."""
        if not self.is_shared:
            return ask_node()
        share_request = ShareRequest(self._shell, {"node": self.name, **request})
        started = time.perf_counter()
        try:
            return self._read(share_request, read, self._shared_transport.answer_timeout_s)
        except TimeoutError:
            # The node or the shell is slow, so the shell's forward would be slow, too. Race the shell's answer against
            # a connection of our own, which may take longer still.
            self._shared_transport.cut()
            return first_success((partial(self._read_late, share_request, read), ask_node))
        except ConnectionLost:
            return ask_node()
        finally:
            _debug("%s: shell %s: %.1f ms", self.name, request["question"], (time.perf_counter() - started) * 1000)

    def _read_late(self, request: ShareRequest, read: Callable[[Any], T]) -> T:
        try:
            return self._read(request, read, self.config.answer_timeout)
        except TimeoutError as error:
            raise ConnectionLost("the open shell does not answer", place=self.name) from error

    def _read(self, request: ShareRequest, read: Callable[[Any], T], timeout_s: float) -> T:
        try:
            answer = read(request.answer(timeout_s))
        except TimeoutError:
            raise
        except (OSError, InvalidData) as error:
            raise ConnectionLost("the open shell sent no valid answer", place=self.name) from error
        self.store.set_state(Phase.ON)
        return answer


def _debug(message: str, *values: object) -> None:
    # Importing logging takes some milliseconds; with debug output on, it is already imported.
    if "logging" in sys.modules:
        # Another thread may still be importing it; this waits for that.
        import logging

        logging.getLogger(__name__).debug(message, *values)
