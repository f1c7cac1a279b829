"""One machine of the cloud: its transport, its libvirt connection and its last known state."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mclu_shell.cloud.concurrency.cancel_scope import CancelScope
from mclu_shell.cloud.concurrency.changes import begin_change
from mclu_shell.cloud.concurrency.fanout import Outcome, gather
from mclu_shell.cloud.nodes.connection import Connection
from mclu_shell.cloud.nodes.guest_agents import GuestAgents
from mclu_shell.cloud.nodes.guest_change import AGENT_VERBS, QEMU_VERBS, GuestChanges
from mclu_shell.cloud.nodes.memory import MemoryQuery
from mclu_shell.cloud.nodes.power_off import power_off_and_wait
from mclu_shell.cloud.state.expected import ExpectedChanges
from mclu_shell.cloud.state.guest import Guest, GuestEvent, NodeReport
from mclu_shell.cloud.state.node_store import NodeStore
from mclu_shell.cloud.state.snapshot import NodeView, Phase
from mclu_shell.cloud.transport.base import LibvirtTransport
from mclu_shell.config import NodeConfig
from mclu_shell.errors import ConnectionLost, NodeOff, Question, SSHFault

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.addresses import Address as GuestAddress
    from mclu_shell.cloud.hypervisor.client import LibvirtClient
    from mclu_shell.cloud.transport.forward import Address, ByteStream, Forward
    from mclu_shell.cloud.transport.process import Completed, Process
    from mclu_shell.cloud.transport.wake_on_lan import MagicPacket

T = TypeVar("T")

# The least time for a retry when the first attempt has used up the timeout.
_RETRY_S = 1.0
# Starting a guest may restore its memory from disk; undefining one may merge files.
_CHANGE_TIMEOUT_S = 60.0
_RUN_TIMEOUT_S = 30.0
_ADDRESSES_TIMEOUT_S = 10.0
# Connecting in the background may take longer than a query: libvirt makes a dozen calls one after another.
_BACKGROUND_TIMEOUT_S = 10.0
# The interval of full reports: a node's available memory changes without an event.
_REPORT_INTERVAL_S = 120.0
# Lock timeout for polls, and for the requests of one-shots, which can fall back to their own connection.
_LOCK_TIMEOUT_S = 0.1


class Node:
    """A node. Its constructor does no I/O; its connection is opened on first use and kept.

    Several threads may call it; requests to libvirt are made one at a time.
    """

    def __init__(self, config: NodeConfig, transport: LibvirtTransport) -> None:
        self.config = config
        self._transport = transport
        self._reported_at = -math.inf
        # Set for a dry run: a method that would change something raises AssertionError, because that is a defect.
        self.is_read_only = False
        # True after a change that may have left the list of guests in `view` outdated.
        self.has_changed = False
        self.store = NodeStore(config.name)
        self._connection = Connection(config, transport, self.store, self._on_event)
        self.expected = ExpectedChanges()
        self._guest_changes = GuestChanges(config.name, self._branch_for_change, self._require_answer)
        self._guest_agents = GuestAgents(config.name, self.branch, config.answer_timeout)
        # Set to have the supervisor poll the node at once.
        self.poll_request = threading.Event()
        self._listeners: set[Callable[[GuestEvent | None], None]] = set()

    @property
    def name(self) -> str:
        """The name in mclu.conf."""
        return self.config.name

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that a query imports, in its order: the login begins before libvirt's library is loaded."""
        return (*self._transport.modules, "mclu_shell.cloud.hypervisor.client")

    @property
    def is_shared(self) -> bool:
        """True if an open shell answers for the node."""
        return False

    @property
    def view(self) -> NodeView:
        """The last known state of the node."""
        return self.store.view

    @property
    def is_connected(self) -> bool:
        """True if a libvirt connection is open; it may have failed since its last use."""
        return self._connection.is_open

    @property
    def silent_s(self) -> float:
        """Seconds since the last answer or keep-alive message of libvirtd."""
        return self._connection.silent_s

    @property
    def is_outdated(self) -> bool:
        """True if the next poll should fetch the node's resources again."""
        return self.view.info is None or time.monotonic() - self._reported_at >= _REPORT_INTERVAL_S

    def fetch_report(self, *, unchecked: bool = False) -> NodeReport:
        """Return the node's resources and all its guests; `unchecked` as in `query`."""
        return self.query(self._report, unchecked=unchecked, statistics=True)

    def fetch_guests(
        self, *, active: bool | None = None, addresses: bool = False, unchecked: bool = False
    ) -> tuple[Guest, ...]:
        """Return the running guests, the others, or (None) all; known `addresses` take some more calls."""
        guests = self.query(partial(self._guests, active=active), unchecked=unchecked, statistics=True)
        if not addresses:
            return guests
        by_uuid = self.fetch_addresses([guest for guest in guests if guest.is_active])
        guests = tuple(guest._replace(addresses=by_uuid.get(guest.uuid, ())) for guest in guests)
        self.store.set_addresses(by_uuid)
        return guests

    def fetch_addresses(self, guests: Sequence[Guest]) -> dict[str, tuple[str, ...]]:
        """Return the addresses of running guests by UUID, without those of the node and of earlier runs."""
        from mclu_shell.cloud.nodes.guest_addresses import confirm_addresses

        if not guests:
            return {}
        name = guests[0].name if len(guests) == 1 else None
        found = self._find_addresses(name)
        if not self.config.runs_guests:
            # The machine that commands run on knows nothing about these guests.
            return {uuid: tuple([one.address for one in addresses]) for uuid, addresses in found.items()}
        names = {guest.uuid: guest.name for guest in guests}
        run = partial(self.run_read_only, timeout_s=_ADDRESSES_TIMEOUT_S)
        try:
            return confirm_addresses(lambda argv: run(argv).out, names, {uuid: found.get(uuid, ()) for uuid in names})
        except (ConnectionLost, SSHFault):
            # sshd may allow forwarding, but no commands (`MaxSessions 0`); then no address can be proved.
            self._require_answer()
            return {}

    def _find_addresses(self, name: str | None) -> "dict[str, tuple[GuestAddress, ...]]":
        """Return the addresses of one running guest, or of all, from all sources."""
        found, agents = self.query(lambda client: client.fetch_addresses(name), self.config.answer_timeout)
        if not agents:
            return found
        from mclu_shell.cloud.hypervisor.addresses import unique

        reported = self._guest_agents.fetch_addresses(agents)
        return {uuid: unique([*addresses, *reported.get(uuid, ())]) for uuid, addresses in found.items()}

    # The store is updated while the connection is locked: otherwise an older answer could replace a newer one.

    def _report(self, client: "LibvirtClient") -> NodeReport:
        since = self.store.event_count
        query = MemoryQuery(self.config, self._transport)
        report = query.complete(client.fetch_report())
        self.store.apply_report(report, since)
        return report

    def _guests(self, client: "LibvirtClient", *, active: bool | None = None) -> tuple[Guest, ...]:
        since = self.store.event_count
        guests = client.fetch_guests(active=active)
        self.store.apply_guests(guests, active, since)
        return guests

    def log_in(self, asker: Callable[[Question], str | None]) -> None:
        """Log in while `asker` replies to ssh's questions, after PromptRequired; raise NodeFault if that fails."""
        with self._connection.locked():
            self._transport.log_in(asker)

    def enable_events(self) -> None:
        """Subscribe to libvirt's events with the next request, and again with each new connection."""
        self._connection.has_events = True

    @contextmanager
    def listen(self, on_event: Callable[[GuestEvent | None], None]) -> Iterator[None]:
        """In the block, call `on_event` with each event of a guest, and with None when the connection is lost.

        The thread of libvirt's event loop calls it, so it must not block.
        """
        self._listeners.add(on_event)
        self.enable_events()
        try:
            yield
        finally:
            self._listeners.discard(on_event)

    def _on_event(self, event: GuestEvent | None) -> None:
        if event is not None:
            self.store.apply_event(event)
        self.poll_request.set()
        for on_event in tuple(self._listeners):
            on_event(event)

    def poll(self) -> None:
        """Update the list of guests, after connecting if necessary; raise NodeFault as `query` does."""
        with self._connection.locked(time.monotonic() + _LOCK_TIMEOUT_S):
            if self.view.state.phase == Phase.UNSEEN:
                self.store.set_state(Phase.CONNECTING)
            if not self.is_connected or self.is_outdated:
                now = time.monotonic()
                deadline = self._connection.answer_deadline() if self.is_connected else now + _BACKGROUND_TIMEOUT_S
                self._reported_at = now
                self._connection.call_statistics(self._report, deadline)
            else:
                # This one round trip also checks the transport and libvirtd.
                self._connection.call_statistics(self._guests, self._connection.answer_deadline(), unchecked=True)

    def query(
        self,
        fn: Callable[["LibvirtClient"], T],
        timeout_s: float = 0.0,
        *,
        unchecked: bool = False,
        statistics: bool = False,
    ) -> T:
        """Return the result of a read-only call to libvirt; raise NodeFault at the node's deadline.

        `timeout_s` extends the deadline for a query of many calls. `unchecked` neither checks the open connection
        first nor waits long for its lock: a good answer comes sooner, and a fault later.
        If the connection fails, the query is repeated once on a new one, whose result shows the node's state.
        `statistics`: see `Connection.call_statistics`.
        """
        call = self._connection.call_statistics if statistics else self._connection.call
        retry_deadline = time.monotonic() + max(self.config.answer_timeout, timeout_s)
        deadline = max(self._connection.answer_deadline(), time.monotonic() + timeout_s)
        with self._connection.locked(time.monotonic() + _LOCK_TIMEOUT_S if unchecked else deadline):
            try:
                return call(fn, deadline, unchecked=unchecked)
            except ConnectionLost:
                if self._connection.is_closed:
                    raise
                self._connection.drop()
                return call(fn, max(retry_deadline, time.monotonic() + _RETRY_S))

    def change(self, fn: Callable[["LibvirtClient"], T], timeout_s: float = _CHANGE_TIMEOUT_S) -> T:
        """Return the result of a call to libvirt that changes something: like `query`, but never repeated."""
        self._require_writable()
        deadline = time.monotonic() + timeout_s
        with self._connection.locked(deadline):
            self._connection.check(deadline)
            begin_change()
            self.has_changed = True
            return self._connection.call(fn, deadline)

    def change_guest(self, name: str, verb: str, uuid: str) -> None:
        """Do one of the verbs of `LibvirtClient.change` to a guest; raise NotFound if there is none of this UUID."""
        self._require_writable()
        self.expected.add_guest(uuid, verb)
        has_branches = self._transport.has_branches and not self.config.uri.startswith("test:")
        if verb in QEMU_VERBS and has_branches:
            if verb in AGENT_VERBS and self._guest_agents.is_hung(uuid):
                verb = AGENT_VERBS[verb]
            begin_change()
            self.has_changed = True
            self._guest_changes.make(name, verb, uuid, _CHANGE_TIMEOUT_S)
        else:
            self.change(lambda client: client.change(name, verb, uuid))

    def change_guests(self, guests: Sequence[Guest], verb: str, timeout_s: float) -> "list[Outcome[Guest, None]]":
        """Do one of the verbs of `LibvirtClient.change` to several guests at the same time; return the outcomes.

        Raise NodeFault if the connection fails.
        """
        self._require_writable()
        for guest in guests:
            self.expected.add_guest(guest.uuid, verb)

        def change(client: "LibvirtClient") -> list[Outcome[Guest, None]]:
            outcomes = gather(guests, lambda guest: client.change(guest.name, verb, guest.uuid))
            for outcome in outcomes:
                if isinstance(outcome.error, ConnectionLost):
                    raise outcome.error
            return outcomes

        return self.change(change, timeout_s)

    def undefine_guest(self, name: str, uuid: str, nvram: str, *, keep_tpm: bool = False) -> None:
        """Undefine a guest, as `LibvirtClient.undefine`; raise NotFound if there is none of this UUID."""
        self._require_writable()
        self.expected.add_guest(uuid, "undefine")
        self.change(lambda client: client.undefine(name, uuid, nvram, keep_tpm=keep_tpm))

    def _require_writable(self) -> None:
        if self.is_read_only:
            raise AssertionError(f"a dry run was about to change {self.name}")

    def run(self, argv: Sequence[str], timeout_s: float = _RUN_TIMEOUT_S) -> "Completed":
        """Run a command on the node and wait for its end."""
        self._require_writable()
        begin_change()
        return self.run_read_only(argv, timeout_s)

    def run_read_only(self, argv: Sequence[str], timeout_s: float = _RUN_TIMEOUT_S) -> "Completed":
        """Run a command that changes nothing on the node, and wait for its end."""
        self.query(lambda _client: None)
        return self._transport.direct().run(argv, timeout_s)

    def start(self, argv: Sequence[str]) -> "Process":
        """Start a command on the node."""
        self._require_writable()
        begin_change()
        return self.start_read_only(argv)

    def start_read_only(self, argv: Sequence[str]) -> "Process":
        """Start a command that changes nothing on the node."""
        self.query(lambda _client: None)
        return self._transport.direct().start(argv)

    def branch(self) -> "tuple[str, Forward | None]":
        """Return a URI for a separate libvirt connection, for long calls, and the forward that cuts it.

        It does not depend on an open shell, which may end earlier.
        """
        self.query(lambda _client: None)
        return self._transport.direct().branch()

    def _branch_for_change(self) -> "tuple[str, Forward | None]":
        """Return a branch for one short change; an open shell's connection carries it."""
        self.query(lambda _client: None)
        return self._transport.branch()

    def _require_answer(self) -> None:
        """Raise NodeFault if the node or its libvirtd does not answer."""
        self.query(lambda client: client.ping())

    def connect(self, address: "Address") -> "ByteStream":
        """Connect to an address as seen from the node; raise ConnectionRefusedError if nothing listens there."""
        return self._transport.direct().connect(address)

    def check_alive(self) -> bool:
        """Return whether the open transport still reaches the node; if not, all connections over it end."""
        return self._transport.direct_responds(self.config.answer_timeout)

    def packet(self) -> "MagicPacket":
        """Return the packet that `wake` sends; raise NodeFault if it cannot send one."""
        return self._transport.power.packet()

    def wake(self) -> None:
        """Switch the node on; return at once."""
        self._require_writable()
        begin_change()
        self._transport.power.wake()
        self.expected.add_wake()
        self.poll_request.set()

    def require_power_off(self) -> None:
        """Raise NodeFault if the node cannot be switched off, regardless of its guests."""
        self.query(lambda _client: None)
        self._transport.power.require_power_off()

    def power_off(self, timeout_s: float, scope: CancelScope) -> None:
        """Switch the node off cleanly and wait until it is off; raise NodeFault if it is not off in time.

        Cancelling `scope` ends the wait with Interrupted; if it is cancelled before the start, the node stays on.
        """
        self._require_writable()
        with self._connection.locked():
            begin_change()
            power_off_and_wait(self.config, self._transport.power, self.expected, timeout_s, scope)
            self._transport.close()
            self._connection.drop()
        self.store.set_state(Phase.OFF, NodeOff(self.name).fact)

    def close(self) -> None:
        """Close the connection for good; a request in progress fails at once."""
        self._connection.close()
