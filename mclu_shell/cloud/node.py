"""One machine of the cloud: its way, its libvirt, and what was last known of it."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from mclu_shell.cloud.access import Access
from mclu_shell.cloud.deadline import Deadline
from mclu_shell.cloud.forward import Address, Duplex, Forward
from mclu_shell.cloud.guest import Guest, NodeReport
from mclu_shell.cloud.process import Completed, Process
from mclu_shell.cloud.state import NodeState, NodeView, Phase, phase_of
from mclu_shell.config import NodeConfig
from mclu_shell.errors import LibvirtDown, LibvirtFault, LinkLost, NodeFault, NodeOff, SSHSilent, Unreachable
from mclu_shell.units import format_duration

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor import Hypervisor

T = TypeVar("T")

# What a second try still gets when the first has used up the node's time.
_LAST_TRY_S = 1.0
# A node that has just answered is not asked first whether it is there.
_FRESH_S = 0.5
# Starting a guest may mean restoring its memory from disk; deleting one, merging files.
_CHANGE_TIMEOUT_S = 60.0
_RUN_TIMEOUT_S = 30.0
# While a node starts or stops, how often it is looked at, and how often it is woken again.
_POLL_S = 0.25
_WAKE_AGAIN_S = 5.0


class Node:
    """A node; its constructor does no I/O. Its connection is opened on first use and kept.

    Questions may come from several threads; one at a time is asked.
    """

    def __init__(self, config: NodeConfig, access: Access) -> None:
        self.config = config
        self._access = access
        self._hypervisor: Hypervisor | None = None
        self._lock = threading.Lock()
        self._answered_at = -math.inf
        self._is_closed = False
        self.view = NodeView(config.name, NodeState(Phase.UNSEEN, time.monotonic()))

    @property
    def name(self) -> str:
        """The name in mclu.conf."""
        return self.config.name

    def fetch_report(self) -> NodeReport:
        """Its resources and all its guests."""
        report = self.fetch(lambda hypervisor: hypervisor.fetch_report())
        self._remember(report.guests, None)
        return report

    def fetch_guests(self, *, active: bool | None = None, addresses: bool = False) -> tuple[Guest, ...]:
        """Its guests: running, not running, or (None) all; their addresses, where known, cost some calls more."""
        guests = self.fetch(lambda hypervisor: hypervisor.fetch_guests(active=active, addresses=addresses))
        return self._remember(guests, active)

    def _remember(self, guests: tuple[Guest, ...], active: bool | None) -> tuple[Guest, ...]:
        """Keep what was listed in the view, and what is known of those that were not asked for."""
        listed = {guest.uuid for guest in guests}
        others = [g for g in self.view.guests if g.uuid not in listed and active is not None and g.is_active != active]
        self.view = replace(self.view, guests=tuple(sorted((*guests, *others), key=lambda guest: guest.name)))
        return guests

    def fetch(self, question: Callable[["Hypervisor"], T]) -> T:
        """Ask libvirt something that changes nothing, within the node's deadline; NodeFault says why not.

        Where the connection dies meanwhile it is asked once more: what the node is now, a new connection tells.
        """
        deadline = time.monotonic() + self.config.answer_timeout
        with self._lock, self._noted():
            try:
                return self._ask(question, deadline)
            except LinkLost:
                if self._is_closed:
                    raise
                self._drop()
                return self._ask(question, max(deadline, time.monotonic() + _LAST_TRY_S))

    def change(self, action: Callable[["Hypervisor"], T], timeout_s: float = _CHANGE_TIMEOUT_S) -> T:
        """Have libvirt change something: like `fetch`, but never twice, and with more time."""
        deadline = time.monotonic() + timeout_s
        with self._lock, self._noted():
            return self._ask(action, deadline)

    def change_guest(self, name: str, verb: str, uuid: str) -> None:
        """Do one of `Hypervisor.change`'s verbs to the guest of this UUID; NotFound if it is not there."""
        self.change(lambda hypervisor: hypervisor.change(name, verb, uuid))

    def run(self, argv: Sequence[str], timeout_s: float = _RUN_TIMEOUT_S) -> Completed:
        """Run a command on the machine, for as long as it is told."""
        self.fetch(lambda _hypervisor: None)
        return self._access.run(argv, timeout_s)

    def start(self, argv: Sequence[str]) -> Process:
        """Start a command on the machine."""
        self.fetch(lambda _hypervisor: None)
        return self._access.start(argv)

    def branch(self) -> tuple[str, Forward | None]:
        """A URI for a libvirt connection beside this one, and what cuts it: for what takes its time."""
        self.fetch(lambda _hypervisor: None)
        return self._access.branch()

    def connect(self, address: Address) -> Duplex:
        """What listens at an address of the machine; ConnectionRefusedError if nothing does."""
        return self._access.connect(address)

    def still_answers(self) -> bool:
        """Whether the way that is open still leads there; if not, all that goes over it ends."""
        return self._access.answers(self.config.answer_timeout)

    def _ask(self, question: Callable[["Hypervisor"], T], deadline: float) -> T:
        is_fresh = time.monotonic() - self._answered_at < _FRESH_S
        if self._hypervisor is not None and not is_fresh and not self._access.answers(self.config.connect_timeout):
            self._drop()
        with self._limited(deadline):
            if self._hypervisor is None:
                self._hypervisor = self._opened(deadline)
            answer = question(self._hypervisor)
        self._answered_at = time.monotonic()
        return answer

    def _opened(self, deadline: float) -> "Hypervisor":
        uri = self._access.open(deadline)
        # libvirt-python takes 30 ms to import: meanwhile the other nodes' connections are under way.
        from mclu_shell.cloud.hypervisor import Hypervisor

        return Hypervisor(self.name, uri)

    @contextmanager
    def _limited(self, deadline: float) -> Iterator[None]:
        """End libvirt's calls at the deadline, and then say what it was that did not answer."""
        with Deadline(deadline, self._access.cut) as watched:
            try:
                yield
            except (LinkLost, LibvirtFault) as error:
                if not watched.is_late:
                    raise
                watched.leave()
                if self._access.answers(self.config.connect_timeout):
                    raise LibvirtDown(
                        "libvirtd not answering",
                        place=self.name,
                        remedy="on the node: systemctl restart libvirtd",
                    ) from error
                raise LinkLost("the connection was lost", place=self.name) from error

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Remember how the node stands after a question, and keep no connection that failed."""
        try:
            yield
        except NodeFault as fault:
            if self._hypervisor is not None and type(fault) is LibvirtFault:
                # libvirt has answered: what it refuses says nothing against the connection, which others may be using.
                self._note(Phase.ON)
                raise
            self._drop()
            self._note(phase_of(fault), fault.fact)
            raise
        self._note(Phase.ON)

    def _note(self, phase: Phase, why: str = "") -> None:
        if (phase, why) != (self.view.state.phase, self.view.state.why):
            self.view = replace(self.view, state=NodeState(phase, time.monotonic(), why))

    def _drop(self) -> None:
        # The way first: closing libvirt's end would wait for an answer over it.
        self._access.close()
        hypervisor, self._hypervisor = self._hypervisor, None
        if hypervisor is not None:
            hypervisor.close()

    def wake(self) -> None:
        """Ask it to switch on."""
        self._access.wake()

    def wait_until_on(self, timeout_s: float, stop: threading.Event) -> None:
        """Wait until libvirt answers, waking it again now and then; NodeFault tells why it did not."""
        deadline = time.monotonic() + timeout_s
        wake_again = time.monotonic() + _WAKE_AGAIN_S
        while (fault := self._not_on()) is not None:
            if time.monotonic() >= deadline:
                told = f"not up after {format_duration(timeout_s)}: {fault.fact}"
                raise NodeFault(told, place=self.name, remedy="" if isinstance(fault, NodeOff) else fault.remedy)
            if time.monotonic() >= wake_again:
                # A magic packet is sent once and confirmed by nobody: it can be lost.
                self.wake()
                wake_again = time.monotonic() + _WAKE_AGAIN_S
            if stop.wait(_POLL_S):
                return

    def _not_on(self) -> NodeFault | None:
        """None once libvirt answers, else what a node that is starting shows; other faults are raised."""
        try:
            self.fetch(lambda _hypervisor: None)
        except (NodeOff, SSHSilent, LibvirtDown, LinkLost, Unreachable) as fault:
            # Unreachable too: a name that the node itself announces (mDNS, DHCP) is not known before it is up.
            return fault
        return None

    def power_off(self, timeout_s: float, stop: threading.Event) -> None:
        """Switch it off cleanly and wait until it is down; NodeFault if it is not in time."""
        deadline = time.monotonic() + timeout_s
        with self._lock, self._noted():
            if stop.is_set():
                # The user has taken it back while the guests were being looked at.
                return
            self._access.power_off()
            while not self._is_off():
                if time.monotonic() >= deadline:
                    told = f"was told to power off, but still answers after {format_duration(timeout_s)}"
                    raise NodeFault(told, place=self.name)
                if stop.wait(_POLL_S):
                    return
            self._drop()
        self._note(Phase.OFF, NodeOff(self.name).fact)

    def _is_off(self) -> bool:
        try:
            return self._access.is_off(self.config.connect_timeout)
        except Unreachable as fault:
            # Its jump host may be on its way down, too.
            told = f"was told to power off, but it cannot be told whether it did: {fault.fact}"
            raise Unreachable(told, place=self.name, remedy=fault.remedy) from fault

    def close(self) -> None:
        """Give up the connection at once and for good; a question that is under way fails."""
        self._is_closed = True
        self._access.close()
        # libvirt would free what a call in another thread still uses: that thread drops it when its call has failed.
        if self._lock.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._lock.release()
