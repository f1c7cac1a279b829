"""One thread for all deadlines: it ends what is late, because a call of libvirt's does not end by itself."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from types import TracebackType

# How often a call that is late is ended again, until it has ended.
_AGAIN_S = 0.05


class Deadline:
    """In its block, `end` is called when `at` (of `time.monotonic`) has come, and again until the block is left.

    More than once, because a connection may have been made in the very moment of the first time. `end` is called
    by another thread, which serves all deadlines: it must not wait for anything.
    """

    def __init__(self, at: float, end: Callable[[], None]) -> None:
        self.at = at
        self.is_late = False
        self._end = end
        self._is_left = False
        # Whoever leaves the block must not have the end of it fall upon what comes next.
        self._ending = threading.Lock()

    def __enter__(self) -> "Deadline":
        _watcher.add(self.at, self._ring)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """From now on nothing is ended any more."""
        with self._ending:
            self._is_left = True

    def _ring(self) -> bool:
        """End it; whether that is to be done again."""
        with self._ending:
            if self._is_left:
                return False
            self.is_late = True
            self._end()
            return True


class _Watcher:
    """Calls functions when their time has come; its thread is started with the first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, int, Callable[[], bool]]] = []
        self._numbers = itertools.count()
        self._is_started = False

    def add(self, at: float, ring: Callable[[], bool]) -> None:
        """Call `ring` at that time, and again as long as it wants to be."""
        with self._changed:
            heapq.heappush(self._waiting, (at, next(self._numbers), ring))
            if not self._is_started:
                self._is_started = True
                threading.Thread(target=self._watch, name="deadlines", daemon=True).start()
            elif self._waiting[0][0] == at:
                # Only one that is the next concerns the thread, which sleeps until then.
                self._changed.notify()

    def _watch(self) -> None:
        while True:
            at, ring = self._next()
            if ring():
                self.add(at + _AGAIN_S, ring)

    def _next(self) -> tuple[float, Callable[[], bool]]:
        with self._changed:
            while True:
                left = self._waiting[0][0] - time.monotonic() if self._waiting else None
                if left is not None and left <= 0:
                    at, _, ring = heapq.heappop(self._waiting)
                    return at, ring
                self._changed.wait(left)


_watcher = _Watcher()
