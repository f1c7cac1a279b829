"""The supervisor that keeps nodes connected in the background, and polls them after events."""

import random
import threading
from collections.abc import Iterable
from contextlib import nullcontext

from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import MCluError, NodeBusy, SSHRefused

# The number of nodes to connect to in parallel; nodes that are off take up a slot until their timeout.
_MAX_CONNECTING = 32
# Poll a node after this long a silence. Usually libvirtd sends a keep-alive message every 5 s.
_SILENT_S = 10.0
# The retry interval of a node that does not answer: doubled after each attempt, up to the maximum.
_FIRST_RETRY_S = 0.25
_MAX_RETRY_S = 15.0
# The maximum for a node that was woken.
_MAX_WAKING_RETRY_S = 2.0
# Retrying a refused login soon would have sshd lock the user out (PerSourcePenalties, fail2ban).
REFUSED_S = 300.0
# The wait after an event, so that several events cause one poll.
SETTLE_S = 0.02
_BUSY_S = 0.1
# The delay of the first poll, per node, so that the answers do not arrive all at once.
_SPREAD_S = 0.002


class Supervisor:
    """The threads, one for each node, that poll the nodes until the supervisor is closed."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = tuple(nodes)
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTING)
        self._closing = threading.Event()

    def start(self) -> None:
        """Start the threads; return at once."""
        for i, node in enumerate(self._nodes):
            node.enable_events()
            delay_s = random.uniform(0, _SPREAD_S * i)
            name = f"supervise {node.name}"
            threading.Thread(target=self._supervise, args=(node, delay_s), name=name, daemon=True).start()

    def close(self) -> None:
        """Stop polling; the threads end by themselves."""
        self._closing.set()
        for node in self._nodes:
            node.poll_request.set()

    def _supervise(self, node: Node, delay_s: float) -> None:
        retry_s = _FIRST_RETRY_S
        node.poll_request.wait(delay_s)
        while not self._closing.is_set():
            node.poll_request.clear()
            wait_s = self._poll(node)
            if wait_s is None:
                wait_s, retry_s = (
                    retry_s,
                    min(2 * retry_s, _MAX_WAKING_RETRY_S if node.expected.is_waking() else _MAX_RETRY_S),
                )
            else:
                retry_s = _FIRST_RETRY_S
            if self._wait_for_request(node, wait_s * random.uniform(0.8, 1.2)):
                # The event may be the first of many, or the end of the connection.
                retry_s = _FIRST_RETRY_S
                self._closing.wait(SETTLE_S)

    def _wait_for_request(self, node: Node, wait_s: float) -> bool:
        """Wait until the node needs a poll; return whether one was requested, for example after an event."""
        while not node.poll_request.wait(wait_s):
            if not node.is_connected or node.silent_s >= _SILENT_S or node.is_outdated:
                return False
            wait_s = _SILENT_S - node.silent_s
        return True

    def _poll(self, node: Node) -> float | None:
        """Poll a node; return the seconds until the next poll, or None if it did not answer."""
        try:
            with nullcontext() if node.is_connected else self._slots:
                node.poll()
        except NodeBusy:
            return _BUSY_S
        except SSHRefused:
            return REFUSED_S
        except MCluError:
            return None
        return _SILENT_S
