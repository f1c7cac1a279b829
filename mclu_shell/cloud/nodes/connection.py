"""A node's libvirt connection: opened on first use, kept, and closed when it fails."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from mclu_shell.cloud.concurrency.answers import answer_of
from mclu_shell.cloud.concurrency.deadline import Deadline
from mclu_shell.cloud.nodes.client_limit import describe_client_limit
from mclu_shell.cloud.state.guest import GuestEvent
from mclu_shell.cloud.state.node_store import NodeStore
from mclu_shell.cloud.state.snapshot import Phase, phase_of
from mclu_shell.cloud.transport.base import LibvirtTransport
from mclu_shell.config import NodeConfig
from mclu_shell.errors import ConnectionLost, LibvirtDown, LibvirtFault, NodeBusy, NodeFault

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.client import LibvirtClient

T = TypeVar("T")

# The timeout on an open connection: two seconds are as long as a person likes to wait.
_OPEN_ANSWER_S = 2.0
# After an answer, the connection is not checked again for this long.
_FRESH_S = 0.5


class Connection:
    """A node's libvirt connection and its lock; the constructor does no I/O. Each use updates the node's `store`.

    If `has_events` is set, the next call subscribes `on_event`. libvirt's event thread calls it with each event of a
    guest, and with None when the connection ends.
    """

    def __init__(
        self,
        node: NodeConfig,
        transport: LibvirtTransport,
        store: NodeStore,
        on_event: Callable[[GuestEvent | None], None],
    ) -> None:
        self._node = node
        self._transport = transport
        self._store = store
        self._on_event = on_event
        self._client: LibvirtClient | None = None
        self._lock = threading.Lock()
        self._answered_at = -math.inf
        self.is_closed = False
        self.has_events = False

    @property
    def is_open(self) -> bool:
        """True if the connection is open; it may have failed since its last use."""
        return self._client is not None

    @property
    def silent_s(self) -> float:
        """Seconds since the last answer or keep-alive message of libvirtd."""
        return time.monotonic() - max(self._answered_at, self._transport.last_message_at)

    def answer_deadline(self) -> float:
        """Return the deadline (of `time.monotonic`) for the answer to a query that begins now."""
        timeout_s = self._node.answer_timeout
        if self.is_open:
            timeout_s = min(timeout_s, _OPEN_ANSWER_S)
        return time.monotonic() + min(timeout_s, self._transport.answer_timeout_s)

    @contextmanager
    def locked(self, deadline: float = math.inf) -> Iterator[None]:
        """Hold the connection exclusively; raise NodeBusy at the deadline. Close it if the block fails."""
        timeout_s = -1.0 if deadline == math.inf else max(0.0, deadline - time.monotonic())
        if not self._lock.acquire(timeout=timeout_s):
            raise NodeBusy(self._node.name, "busy with another request" if self.is_open else "still connecting")
        try:
            with self._updating_state():
                yield
        finally:
            self._lock.release()

    @contextmanager
    def _updating_state(self) -> Iterator[None]:
        try:
            with answer_of(self._node.name):
                yield
        except NodeFault as fault:
            if self._client is not None and type(fault) is LibvirtFault:
                # libvirt has answered with an error: the connection works, and other threads may be using it.
                self._store.set_state(Phase.ON)
                raise
            self.drop()
            self._store.set_state(phase_of(fault), fault.fact)
            raise
        self._store.set_state(Phase.ON)

    # The following methods need the lock.

    def call(self, fn: Callable[["LibvirtClient"], T], deadline: float, *, unchecked: bool = False) -> T:
        """Return the result of `fn` on the open connection, or on a new one if the node does not respond.

        `unchecked` skips that check. Raise NodeFault at the deadline.
        """
        is_fresh = unchecked or time.monotonic() - self._answered_at < _FRESH_S
        if self._client is not None and not is_fresh and not self._transport.responds(self._node.connect_timeout):
            self.drop()
            deadline = max(deadline, self.answer_deadline() - self._node.connect_timeout)
        uri = ""
        if self._client is None:
            uri = self._open_transport(deadline)
            # A slow login takes nothing from the time for libvirt's answer.
            deadline = max(deadline, self.answer_deadline())
        with self._interrupted_at(deadline):
            if self._client is None:
                self._client = self._open(uri)
            if self.has_events and not self._client.is_subscribed:
                self._client.subscribe(self._on_event, lambda: self._on_event(None))
            answer = fn(self._client)
        self._answered_at = time.monotonic()
        return answer

    def _open_transport(self, deadline: float) -> str:
        try:
            uri = self._transport.open(min(deadline, time.monotonic() + self._node.answer_timeout))
        except OSError as error:
            # For example, too many open files; a retry may succeed.
            reason = os.strerror(error.errno or 0).lower()
            raise NodeFault(f"cannot connect from this host: {reason}", place=self._node.name) from error
        if self.is_closed:
            # `close` was called during `open`, and would leave the new transport open.
            self._transport.close()
            raise ConnectionLost("the connection was closed", place=self._node.name)
        return uri

    def _open(self, uri: str) -> "LibvirtClient":
        # libvirt takes 30 ms to import, during which the other nodes' connections proceed.
        from mclu_shell.cloud.hypervisor.client import LibvirtClient

        return LibvirtClient(self._node.name, uri)

    @contextmanager
    def _interrupted_at(self, deadline: float) -> Iterator[None]:
        """Interrupt libvirt's calls at the deadline, and raise an error that names the part that did not answer."""
        started_at, was_open = time.monotonic(), self.is_open
        with Deadline(deadline, self._transport.cut) as interruption:
            try:
                yield
            except (ConnectionLost, LibvirtFault) as error:
                if not interruption.is_late:
                    raise
                interruption.cancel()
                if self._transport.responds(self._node.connect_timeout):
                    is_slow = self._transport.last_message_at > started_at
                    raise self._too_late(is_slow=is_slow, was_open=was_open) from error
                raise ConnectionLost("the connection was lost", place=self._node.name) from error

    def _too_late(self, *, is_slow: bool, was_open: bool) -> LibvirtDown:
        limit = None if is_slow or was_open else describe_client_limit(self._transport)
        if limit is not None:
            fact, remedy = limit
        elif is_slow:
            # libvirtd has answered some of the calls; the network may be slow.
            fact, remedy = "libvirtd is too slow", "raise answer_timeout= in mclu.conf"
        else:
            fact, remedy = "libvirtd not answering", "on the node: systemctl restart libvirtd"
        return LibvirtDown(fact, place=self._node.name, remedy=remedy, is_slow=is_slow)

    def call_statistics(self, fn: Callable[["LibvirtClient"], T], deadline: float, *, unchecked: bool = False) -> T:
        """Return the result of `fn`, which queries statistics; repeat it once if libvirtd answers other calls.

        The first such query blocks at a guest whose QEMU process hangs. It keeps the guest's job, and later queries
        skip guests with a job (VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT).
        """
        was_open = self.is_open
        try:
            return self.call(fn, deadline, unchecked=unchecked)
        except LibvirtDown as fault:
            if fault.is_stopped or not (fault.is_slow or was_open):
                raise
            self.drop()
            return self.call(fn, self.answer_deadline())

    def check(self, deadline: float) -> None:
        """Drop a connection that does not work, before a change, which cannot be repeated."""
        if self._client is not None:
            try:
                self.call(lambda client: client.ping(), min(deadline, self.answer_deadline()))
            except ConnectionLost:
                # libvirtd may have restarted.
                self.drop()

    def drop(self) -> None:
        """Close the connection; the next call opens another."""
        # First the transport: closing libvirt's end would wait for an answer over it.
        self._transport.release(self._node.connect_timeout)
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def close(self) -> None:
        """Close the connection for good, without waiting for the lock; a call in progress fails at once."""
        self.is_closed = True
        self._transport.close()
        # libvirt would free memory that a call in another thread uses; that thread drops the connection.
        if self._lock.acquire(blocking=False):
            try:
                self.drop()
            finally:
                self._lock.release()
