"""Separate libvirt connections of a node, for calls that may block; each has a deadline that cuts it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from mclu_shell.cloud.concurrency.deadline import Deadline
from mclu_shell.errors import ConnectionLost, LibvirtFault

if TYPE_CHECKING:
    from mclu_shell.cloud.hypervisor.client import LibvirtClient
    from mclu_shell.cloud.transport.forward import Forward

# Connections of one kind to a node at the same time.
_MOST = 16


class Branch(NamedTuple):
    """An open connection; `cut` ends all calls over it, and may be called from any thread."""

    client: "LibvirtClient"
    cut: Callable[[], None]


class Branches:
    """The separate connections of one node; `branch` returns a URI and the forward that cuts it."""

    def __init__(self, node: str, branch: Callable[[], tuple[str, "Forward | None"]]) -> None:
        self._node = node
        self._branch = branch
        self._free = threading.Semaphore(_MOST)

    @contextmanager
    def open(self, deadline: float) -> Iterator[Branch]:
        """Open a connection, and close it with the block; raise TimeoutError if it is cut at the deadline."""
        from mclu_shell.cloud.hypervisor.client import LibvirtClient

        with self._free:
            uri, forward = self._branch()

            def cut() -> None:
                if forward is not None:
                    forward.close()

            with Deadline(deadline, cut) as interruption:
                try:
                    client = LibvirtClient(self._node, uri)
                    try:
                        yield Branch(client, cut)
                    finally:
                        # The forward first: closing the libvirt connection would wait for a reply over it.
                        cut()
                        client.close()
                except (LibvirtFault, ConnectionLost) as error:
                    if not interruption.is_late:
                        raise
                    raise TimeoutError from error
                finally:
                    cut()
