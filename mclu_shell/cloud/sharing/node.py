"""A node that an open shell is connected to: what the shell can ask of it, it is asked by the shell.

That needs neither libvirt, which takes longer to import than the answer, nor a connection. Where the shell has no
answer at once, the node is asked as any other.
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

T = TypeVar("T")


class SharedNode(Node):
    """A node whose shell answers at a socket; `access` takes over where it does not."""

    def __init__(self, config: NodeConfig, transport: SharedTransport, shell: Path) -> None:
        super().__init__(config, transport)
        self._shared_transport = transport
        self._shell = shell

    @property
    def is_shared(self) -> bool:
        """Whether the open shell still answers for the node."""
        return self._shared_transport.is_good

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that a query imports: none as long as the shell answers."""
        return () if self.is_shared else super().modules

    def fetch_report(self, *, trusting: bool = False) -> NodeReport:
        """Its resources and all its guests."""
        since = self.store.event_count

        def read(said: Any) -> NodeReport:
            report = report_from_json(said)
            self.store.apply_report(report, since)
            return report

        return self._have_asked({"question": "report"}, read, partial(super().fetch_report, trusting=trusting))

    def fetch_guests(
        self, *, active: bool | None = None, addresses: bool = False, trusting: bool = False
    ) -> tuple[Guest, ...]:
        """Its guests: running, not running, or (None) all; their addresses, where known, cost some calls more."""
        since = self.store.event_count

        def read(said: Any) -> tuple[Guest, ...]:
            guests = guests_from_json(said)
            self.store.apply_guests(guests, active, since)
            return guests

        question = {"question": "guests", "active": active, "addresses": addresses}
        ask_it = partial(super().fetch_guests, active=active, addresses=addresses, trusting=trusting)
        return self._have_asked(question, read, ask_it)

    def _have_asked(self, question: dict[str, Any], read: Callable[[Any], T], ask_it: Callable[[], T]) -> T:
        """What the shell is answered; where it has no answer, or not one of ours, what the node itself says."""
        if not self.is_shared:
            return ask_it()
        request = ShareRequest(self._shell, {"node": self.name, **question})
        started = time.perf_counter()
        try:
            return self._read(request, read, self._shared_transport.answer_timeout_s)
        except TimeoutError:
            # The node may be slow, or the shell: it would be no quicker over the shell's socket, but a way of our own
            # may take longer still.
            self._shared_transport.cut()
            return first_success((partial(self._read_late, request, read), ask_it))
        except ConnectionLost:
            return ask_it()
        finally:
            _debug("%s: shell %s: %.1f ms", self.name, question["question"], (time.perf_counter() - started) * 1000)

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
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConnectionLost("the open shell has no answer", place=self.name) from error
        self.store.set_state(Phase.ON)
        return answer


def _debug(message: str, *values: object) -> None:
    # It takes some milliseconds to import: whoever wants to be told has done so.
    if "logging" in sys.modules:
        # Another thread may be importing it at this moment.
        import logging

        logging.getLogger(__name__).debug(message, *values)
