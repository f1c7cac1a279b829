"""Keeping nodes connected in the background: looked at now and then, and at once when something has happened."""

import random
import threading
from collections.abc import Iterable
from contextlib import nullcontext

from mclu_shell.cloud.nodes.node import Node
from mclu_shell.errors import MCluError, NodeBusy, SSHRefused

# So many nodes are connected to at the same time; what is off is waited for by as many.
_AT_ONCE = 32
# So long a silence is reason to ask a node whether it is still there. Mostly libvirtd says so itself, every 5 s.
_SILENT_S = 10.0
# A node that does not answer is tried again after this long, then after twice that, up to the most.
_FIRST_RETRY_S = 0.25
_LONGEST_RETRY_S = 15.0
# One that was woken is expected.
_WAKING_S = 2.0
# Trying again what only a person can mend would have sshd lock us out.
_REFUSED_S = 300.0
# Several events in a row are one reason to ask.
_SETTLE_S = 0.02
_BUSY_S = 0.1
# Spread over this long per node, so that their first answers do not all come in the same moment.
_SPREAD_S = 0.002


class Supervisor:
    """Looks after nodes, a thread for each, until it is closed."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = tuple(nodes)
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._closing = threading.Event()

    def start(self) -> None:
        """Begin; returns at once."""
        for i, node in enumerate(self._nodes):
            node.enable_events()
            delay_s = random.uniform(0, _SPREAD_S * i)
            name = f"keep {node.name}"
            threading.Thread(target=self._keep, args=(node, delay_s), name=name, daemon=True).start()

    def close(self) -> None:
        """Look no more; the threads end by themselves."""
        self._closing.set()
        for node in self._nodes:
            node.poll_request.set()

    def _keep(self, node: Node, delay_s: float) -> None:
        retry_s = _FIRST_RETRY_S
        node.poll_request.wait(delay_s)
        while not self._closing.is_set():
            node.poll_request.clear()
            wait_s = self._look(node)
            if wait_s is None:
                wait_s, retry_s = (
                    retry_s,
                    min(2 * retry_s, _WAKING_S if node.expected.is_waking() else _LONGEST_RETRY_S),
                )
            else:
                retry_s = _FIRST_RETRY_S
            if self._waits(node, wait_s * random.uniform(0.8, 1.2)):
                # What has happened may be the first of many things, or the end of the connection.
                retry_s = _FIRST_RETRY_S
                self._closing.wait(_SETTLE_S)

    def _waits(self, node: Node, wait_s: float) -> bool:
        """Wait until a node is to be looked at; whether it is because something has happened."""
        while not node.poll_request.wait(wait_s):
            if not node.is_connected or node.silent_s >= _SILENT_S or node.is_outdated:
                return False
            wait_s = _SILENT_S - node.silent_s
        return True

    def _look(self, node: Node) -> float | None:
        """Look at a node; how long it need not be looked at again, or None if it did not answer."""
        try:
            with nullcontext() if node.is_connected else self._slots:
                node.poll()
        except NodeBusy:
            return _BUSY_S
        except SSHRefused:
            return _REFUSED_S
        except MCluError:
            return None
        return _SILENT_S
