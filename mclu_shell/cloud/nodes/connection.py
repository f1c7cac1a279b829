"""The connection to a node's libvirt: opened when it is first needed, kept, and given up when it fails."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from mclu_shell.cloud.concurrency.deadline import Deadline
from mclu_shell.cloud.state.guest import GuestEvent
from mclu_shell.cloud.state.node_store import NodeStore
from mclu_shell.cloud.state.snapshot import Phase, phase_of
from mclu_shell.cloud.transport.base import LibvirtTransport
from mclu_shell.config import NodeConfig
from mclu_shell.errors import ConnectionLost, LibvirtDown, LibvirtFault, NodeBusy, NodeFault

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.client import LibvirtClient

T = TypeVar("T")

# What a node that is connected already may take to answer: it is waited for no longer than a person likes to.
_KEPT_ANSWER_S = 2.0
# A node that has just answered is not asked first whether it is there.
_FRESH_S = 0.5


class Connection:
    """A node's; its constructor does no I/O. Who uses it takes turns; `memory` notes how the node stands after each.

    With `is_live`, `told` is called from the next question on with each event of a guest, and with None when it ends:
    by the thread that all events come by.
    """

    def __init__(
        self, node: NodeConfig, transport: LibvirtTransport, store: NodeStore, told: Callable[[GuestEvent | None], None]
    ) -> None:
        self._node = node
        self._transport = transport
        self._store = store
        self._told = told
        self._client: LibvirtClient | None = None
        self._lock = threading.Lock()
        self._answered_at = -math.inf
        self.is_closed = False
        self.is_live = False

    @property
    def is_open(self) -> bool:
        """Whether it is there, as far as is known."""
        return self._client is not None

    @property
    def silent_s(self) -> float:
        """How long nothing has been heard: neither an answer, nor a ping of libvirtd's."""
        return time.monotonic() - max(self._answered_at, self._transport.last_message_at)

    def deadline(self) -> float:
        """Until when an answer that is asked for now is waited for (of `time.monotonic`)."""
        timeout_s = self._node.answer_timeout
        if self.is_open:
            timeout_s = min(timeout_s, _KEPT_ANSWER_S)
        return time.monotonic() + min(timeout_s, self._transport.answer_timeout_s)

    @contextmanager
    def locked(self, deadline: float = math.inf) -> Iterator[None]:
        """Hold the connection exclusively; raise NodeBusy at the deadline. Close it if the block fails."""
        timeout_s = -1.0 if deadline == math.inf else max(0.0, deadline - time.monotonic())
        if not self._lock.acquire(timeout=timeout_s):
            raise NodeBusy(self._node.name, "still busy with something else" if self.is_open else "still connecting")
        try:
            with self._noted():
                yield
        finally:
            self._lock.release()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except NodeFault as fault:
            if self._client is not None and type(fault) is LibvirtFault:
                # libvirt has answered: what it refuses says nothing against the connection, which others may be using.
                self._store.set_state(Phase.ON)
                raise
            self.drop()
            self._store.set_state(phase_of(fault), fault.fact)
            raise
        self._store.set_state(Phase.ON)

    # What follows is done within a turn.

    def call(self, fn: Callable[["LibvirtClient"], T], deadline: float, *, trusting: bool = False) -> T:
        """Ask over the connection that is there, if the way still leads to the node, or over a new one.

        With `trusting` the way is not asked first.
        """
        is_fresh = trusting or time.monotonic() - self._answered_at < _FRESH_S
        if self._client is not None and not is_fresh and not self._transport.responds(self._node.connect_timeout):
            self.drop()
            deadline = max(deadline, self.deadline() - self._node.connect_timeout)
        with self._limited(deadline):
            if self._client is None:
                self._client = self._opened(deadline)
            if self.is_live and not self._client.is_subscribed:
                self._client.subscribe(self._told, lambda: self._told(None))
            answer = fn(self._client)
        self._answered_at = time.monotonic()
        return answer

    def _opened(self, deadline: float) -> "LibvirtClient":
        try:
            uri = self._transport.open(min(deadline, time.monotonic() + self._node.answer_timeout))
        except OSError as error:
            # There are too many open files, say. It may pass.
            why = os.strerror(error.errno or 0).lower()
            raise NodeFault(f"cannot be connected to from here: {why}", place=self._node.name) from error
        if self.is_closed:
            # Meanwhile: what has been opened would be left behind.
            self._transport.close()
            raise ConnectionLost("the connection was given up", place=self._node.name)
        # libvirt-python takes 30 ms to import: meanwhile the other nodes' connections are under way.
        from mclu_shell.cloud.hypervisor.client import LibvirtClient

        return LibvirtClient(self._node.name, uri)

    @contextmanager
    def _limited(self, deadline: float) -> Iterator[None]:
        """End libvirt's calls at the deadline, and then say what it was that did not answer."""
        began = time.monotonic()
        with Deadline(deadline, self._transport.cut) as watched:
            try:
                yield
            except (ConnectionLost, LibvirtFault) as error:
                if not watched.is_late:
                    raise
                watched.cancel()
                if self._transport.responds(self._node.connect_timeout):
                    raise self._late(is_heard=self._transport.last_message_at > began) from error
                raise ConnectionLost("the connection was lost", place=self._node.name) from error

    def _late(self, *, is_heard: bool) -> LibvirtDown:
        if is_heard:
            # The line may be bad: some of the calls have been answered.
            told, remedy = "libvirtd answers too slowly", "answer_timeout= in mclu.conf has it waited for longer"
        else:
            told, remedy = "libvirtd not answering", "on the node: systemctl restart libvirtd"
        return LibvirtDown(told, place=self._node.name, remedy=remedy)

    def check(self, deadline: float) -> None:
        """Drop one that does not work: what changes something is tried once only."""
        if self._client is not None:
            try:
                self.call(lambda client: client.ping(), min(deadline, self.deadline()))
            except ConnectionLost:
                # libvirtd may have been started anew.
                self.drop()

    def drop(self) -> None:
        """Give it up; the next question opens another."""
        # The way first: closing libvirt's end would wait for an answer over it.
        self._transport.release(self._node.connect_timeout)
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def close(self) -> None:
        """Give it up at once and for good, whoever's turn it is; a question that is under way fails."""
        self.is_closed = True
        self._transport.close()
        # libvirt would free what a call in another thread still uses: that thread drops it when its call has failed.
        if self._lock.acquire(blocking=False):
            try:
                self.drop()
            finally:
                self._lock.release()
