"""One machine of the cloud: its way, its libvirt, and what was last known of it."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mclu_shell.cloud.nodes.connection import Connection
from mclu_shell.cloud.state.expected import ExpectedChanges
from mclu_shell.cloud.state.guest import Guest, GuestEvent, NodeReport
from mclu_shell.cloud.state.node_store import NodeStore
from mclu_shell.cloud.state.snapshot import NodeView, Phase
from mclu_shell.cloud.transport.base import LibvirtTransport
from mclu_shell.config import NodeConfig
from mclu_shell.errors import ConnectionLost, MCluError, NodeFault, NodeOff, Unreachable
from mclu_shell.units import format_duration

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.client import LibvirtClient
    from mclu_shell.cloud.transport.forward import Address, ByteStream, Forward
    from mclu_shell.cloud.transport.process import Completed, Process
    from mclu_shell.cloud.transport.wake_on_lan import MagicPacket

T = TypeVar("T")

# What a second try still gets when the first has used up the node's time.
_LAST_TRY_S = 1.0
# Starting a guest may mean restoring its memory from disk; deleting one, merging files.
_CHANGE_TIMEOUT_S = 60.0
_RUN_TIMEOUT_S = 30.0
# While a node stops, how often it is looked at.
_POLL_S = 0.25
# What connecting in the background may take, when sshd has let us in: libvirt asks a dozen questions one after another.
_PATIENT_S = 10.0
# The memory that a node has to spare changes without an event.
_REPORT_S = 120.0
# What a look waits for its turn, as whoever has it tells as much; and what others ask, as they have a way of their own.
_TURN_S = 0.1


class Node:
    """A node; its constructor does no I/O. Its connection is opened on first use and kept.

    Questions may come from several threads; one at a time is asked.
    """

    def __init__(self, config: NodeConfig, transport: LibvirtTransport) -> None:
        self.config = config
        self._transport = transport
        self._reported_at = -math.inf
        # In a dry run nothing may be changed: whatever tries to is a defect, and changes nothing all the same.
        self.is_read_only = False
        # Whether it may have other guests by now than it was last heard to have.
        self.has_changed = False
        self.store = NodeStore(config.name)
        self._connection = Connection(config, transport, self.store, self._told)
        self.expected = ExpectedChanges()
        # Set when something has happened that a look at the node would tell more of.
        self.poll_request = threading.Event()
        self._listeners: set[Callable[[GuestEvent | None], None]] = set()

    @property
    def name(self) -> str:
        """The name in mclu.conf."""
        return self.config.name

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that a query imports."""
        return ("mclu_shell.cloud.hypervisor.client", *self._transport.modules)

    @property
    def is_shared(self) -> bool:
        """True if an open shell answers for the node."""
        return False

    @property
    def view(self) -> NodeView:
        """What is known of it, without asking."""
        return self.store.view

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection to its libvirt, as far as is known."""
        return self._connection.is_open

    @property
    def silent_s(self) -> float:
        """How long nothing has been heard of it: neither an answer, nor a ping of libvirtd's."""
        return self._connection.silent_s

    @property
    def is_outdated(self) -> bool:
        """Whether it is some time ago that a look has asked for its resources."""
        return self.view.info is None or time.monotonic() - self._reported_at >= _REPORT_S

    def fetch_report(self, *, trusting: bool = False) -> NodeReport:
        """Its resources and all its guests; `trusting` as for `fetch`."""
        return self.query(self._report, trusting=trusting)

    def fetch_guests(
        self, *, active: bool | None = None, addresses: bool = False, trusting: bool = False
    ) -> tuple[Guest, ...]:
        """Its guests: running, not running, or (None) all; their addresses, where known, cost some calls more."""
        fn = partial(self._guests, active=active, addresses=addresses)
        return self.query(fn, self.config.answer_timeout if addresses else 0.0, trusting=trusting)

    # Remembered while nobody else asks: an older answer must not take the place of a newer one.

    def _report(self, client: "LibvirtClient") -> NodeReport:
        since = self.store.event_count
        report = client.fetch_report()
        self.store.apply_report(report, since)
        return report

    def _guests(
        self, client: "LibvirtClient", *, active: bool | None = None, addresses: bool = False
    ) -> tuple[Guest, ...]:
        since = self.store.event_count
        guests = client.fetch_guests(active=active, addresses=addresses)
        self.store.apply_guests(guests, active, since)
        return guests

    def enable_events(self) -> None:
        """From the next question on, have libvirt tell what happens to guests, and when it is lost."""
        self._connection.is_live = True

    @contextmanager
    def listen(self, listener: Callable[[GuestEvent | None], None]) -> Iterator[None]:
        """In its block, tell of each event of a guest, and by None that the connection is lost.

        It is called by the thread that all events come by, and must not wait.
        """
        self._listeners.add(listener)
        self.enable_events()
        try:
            yield
        finally:
            self._listeners.discard(listener)

    def poll(self) -> None:
        """Ask a node that is kept live what guests it has, and connect to it first if need be; NodeFault as `fetch`."""
        with self._connection.locked(time.monotonic() + _TURN_S):
            if self.view.state.phase == Phase.UNSEEN:
                self.store.set_state(Phase.CONNECTING)
            if not self.is_connected or self.is_outdated:
                deadline = self._connection.deadline() if self.is_connected else time.monotonic() + _PATIENT_S
                self._reported_at = time.monotonic()
                self._connection.call(self._report, deadline)
            else:
                # This tells in one round trip that the way and libvirtd are as they should be.
                self._connection.call(self._guests, self._connection.deadline(), trusting=True)

    def query(self, fn: Callable[["LibvirtClient"], T], timeout_s: float = 0.0, *, trusting: bool = False) -> T:
        """Ask libvirt something that changes nothing, within the node's deadline; NodeFault says why not.

        With `timeout_s` it has that long: for what takes many calls. With `trusting` it is not asked first whether
        the connection that is there still leads to the node, nor is its turn waited for long: an answer is there
        sooner, and a fault known later.

        Where the connection dies meanwhile it is asked once more: what the node is now, a new connection tells.
        """
        again_until = time.monotonic() + max(self.config.answer_timeout, timeout_s)
        deadline = max(self._connection.deadline(), time.monotonic() + timeout_s)
        with self._connection.locked(time.monotonic() + _TURN_S if trusting else deadline):
            try:
                return self._connection.call(fn, deadline, trusting=trusting)
            except ConnectionLost:
                if self._connection.is_closed:
                    raise
                self._connection.drop()
                return self._connection.call(fn, max(again_until, time.monotonic() + _LAST_TRY_S))

    def change(self, fn: Callable[["LibvirtClient"], T], timeout_s: float = _CHANGE_TIMEOUT_S) -> T:
        """Have libvirt change something: like `fetch`, but never twice, and with more time."""
        self._require_writable()
        deadline = time.monotonic() + timeout_s
        with self._connection.locked(deadline):
            self._connection.check(deadline)
            self.has_changed = True
            return self._connection.call(fn, deadline)

    def change_guest(self, name: str, verb: str, uuid: str) -> None:
        """Do one of `LibvirtClient.change`'s verbs to the guest of this UUID; NotFound if it is not there."""
        self._require_writable()
        self.expected.add_guest(uuid, verb)
        self.change(lambda client: client.change(name, verb, uuid))

    def _require_writable(self) -> None:
        if self.is_read_only:
            raise AssertionError(f"a dry run was about to change {self.name}")

    def run(self, argv: Sequence[str], timeout_s: float = _RUN_TIMEOUT_S) -> "Completed":
        """Run a command on the machine, for as long as it is told."""
        self._require_writable()
        return self.run_read_only(argv, timeout_s)

    def run_read_only(self, argv: Sequence[str], timeout_s: float = _RUN_TIMEOUT_S) -> "Completed":
        """Run a command on the machine that changes nothing there."""
        self.query(lambda _client: None)
        return self._transport.direct().run(argv, timeout_s)

    def start(self, argv: Sequence[str]) -> "Process":
        """Start a command on the machine."""
        self._require_writable()
        return self.start_read_only(argv)

    def start_read_only(self, argv: Sequence[str]) -> "Process":
        """Start a command on the machine that changes nothing there."""
        self.query(lambda _client: None)
        return self._transport.direct().start(argv)

    def branch(self) -> "tuple[str, Forward | None]":
        """A URI for a libvirt connection beside this one, and what cuts it: for what takes its time."""
        self.query(lambda _client: None)
        return self._transport.direct().branch()

    def connect(self, address: "Address") -> "ByteStream":
        """What listens at an address of the machine; ConnectionRefusedError if nothing does."""
        return self._transport.direct().connect(address)

    def check_alive(self) -> bool:
        """Whether the way that is open still leads there; if not, all that goes over it ends."""
        return self._transport.direct_responds(self.config.answer_timeout)

    def _told(self, event: GuestEvent | None) -> None:
        if event is not None:
            self.store.apply_event(event)
        self.poll_request.set()
        for listener in tuple(self._listeners):
            listener(event)

    def packet(self) -> "MagicPacket":
        """What `wake` would send; NodeFault if it can send nothing."""
        return self._transport.power.packet()

    def wake(self) -> None:
        """Ask it to switch on."""
        self._require_writable()
        self._transport.power.wake()
        self.expected.add_wake()
        self.poll_request.set()

    def require_power_off(self) -> None:
        """Raise what speaks against switching it off, whatever runs on it."""
        self.query(lambda _client: None)
        self._transport.power.require_power_off()

    def power_off(self, timeout_s: float, stop: threading.Event) -> None:
        """Switch it off cleanly and wait until it is down; NodeFault if it is not in time."""
        self._require_writable()
        deadline = time.monotonic() + timeout_s
        with self._connection.locked():
            if stop.is_set():
                # The user has taken it back while the guests were being looked at.
                return
            self.expected.add_power_off()
            try:
                self._transport.power.power_off()
            except MCluError:
                self.expected.remove_power_off()
                raise
            while not self._is_off():
                if time.monotonic() >= deadline:
                    told = f"was told to power off, but still answers after {format_duration(timeout_s)}"
                    raise NodeFault(told, place=self.name)
                if stop.wait(_POLL_S):
                    return
            self._transport.close()
            self._connection.drop()
        self.store.set_state(Phase.OFF, NodeOff(self.name).fact)

    def _is_off(self) -> bool:
        try:
            return self._transport.power.is_off(self.config.connect_timeout)
        except Unreachable as fault:
            # Its jump host may be on its way down, too.
            told = f"was told to power off, but it cannot be told whether it did: {fault.fact}"
            raise Unreachable(told, place=self.name, remedy=fault.remedy) from fault

    def close(self) -> None:
        """Give up the connection at once and for good; a question that is under way fails."""
        self._connection.close()
