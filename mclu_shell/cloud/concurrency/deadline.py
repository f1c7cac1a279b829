"""Deadlines that interrupt a call in progress: libvirt's and paramiko's calls do not end by themselves.

For a wait that several threads share, or that can be cancelled, use `CancelScope`.
"""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from types import TracebackType

# The interval at which a late call is interrupted again, until it has ended.
_REPEAT_S = 0.05


class Deadline:
    """A context manager that calls `interrupt` when `at` (of `time.monotonic`) has passed, until the block is left.

    It calls more than once: a connection may be made at the very moment of the first call. Each call runs in a thread
    of its own, so it may block without delaying other deadlines. Leaving the block waits for a call in progress, so an
    interrupt never hits what follows the block. `interrupt` must not raise.
    """

    def __init__(self, at: float, interrupt: Callable[[], object]) -> None:
        self.at = at
        self.is_late = False
        self.is_cancelled = False
        self._interrupt = interrupt
        self._lock = threading.Lock()

    def __enter__(self) -> "Deadline":
        _watcher.add(self.at, self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Interrupt nothing from now on, as at the end of the block."""
        with self._lock:
            self.is_cancelled = True

    def expire(self) -> None:
        """Interrupt the call, and schedule the next time."""
        with self._lock:
            if self.is_cancelled:
                return
            self.is_late = True
            self._interrupt()
        _watcher.add(time.monotonic() + _REPEAT_S, self)


class _Watcher:
    """The thread that waits for all deadlines; it starts with the first one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[tuple[float, int, Deadline]] = []
        self._numbers = itertools.count()
        self._is_started = False

    def add(self, at: float, deadline: Deadline) -> None:
        """Let a deadline expire at that time unless it is cancelled before."""
        with self._changed:
            heapq.heappush(self._queue, (at, next(self._numbers), deadline))
            if not self._is_started:
                self._is_started = True
                threading.Thread(target=self._watch, name="deadlines", daemon=True).start()
            elif self._queue[0][0] == at:
                # The thread sleeps until the earliest deadline; only an earlier one need wake it.
                self._changed.notify()

    def _watch(self) -> None:
        while True:
            deadline = self._next()
            if not deadline.is_cancelled:
                try:
                    threading.Thread(target=deadline.expire, name="deadline", daemon=True).start()
                except RuntimeError:  # The process has as many threads as it may have.
                    self.add(time.monotonic() + _REPEAT_S, deadline)

    def _next(self) -> Deadline:
        with self._changed:
            while True:
                left_s = self._queue[0][0] - time.monotonic() if self._queue else None
                if left_s is not None and left_s <= 0:
                    return heapq.heappop(self._queue)[2]
                self._changed.wait(left_s)


_watcher = _Watcher()
