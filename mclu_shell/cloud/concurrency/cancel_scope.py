"""A deadline shared by several threads, which can also be cancelled.

To interrupt one call that has a function to end it, use `Deadline`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

Value = TypeVar("Value")

# A call that began before the deadline gets this much longer: its result says more than "no answer".
_LAST_ANSWER_S = 1.0
# Event.wait accepts no infinite timeout.
_NO_TIMEOUT_S = threading.TIMEOUT_MAX / 2


class CancelScope:
    """The deadline of several threads, by default none; `cancel` ends their waits at once."""

    def __init__(self, timeout_s: float = _NO_TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._waiters: set[threading.Event] = set()
        self._is_cancelled = False
        self._parent: CancelScope | None = None

    def limit(self, timeout_s: float) -> "CancelScope":
        """Return a scope within this one: it is over with this one, and after `timeout_s` at the latest."""
        scope = CancelScope(timeout_s)
        scope._deadline = min(scope._deadline, self._deadline)
        scope._parent = self
        return scope

    @property
    def is_cancelled(self) -> bool:
        """True if `cancel` was called for the scope or for one that contains it."""
        return self._is_cancelled or (self._parent is not None and self._parent.is_cancelled)

    @property
    def is_over(self) -> bool:
        """True if the deadline has passed or the scope is cancelled."""
        return self.is_cancelled or time.monotonic() >= self._deadline

    def cancel(self) -> None:
        """End all waits in the scope."""
        self._is_cancelled = True
        for waiter in tuple(self._waiters):
            waiter.set()

    @contextmanager
    def waiter(self) -> Iterator[threading.Event]:
        """Yield an event for `wait`, which `cancel` sets."""
        with nullcontext(threading.Event()) if self._parent is None else self._parent.waiter() as waiter:
            self._waiters.add(waiter)
            try:
                yield waiter
            finally:
                self._waiters.discard(waiter)

    def wait(self, waiter: threading.Event, timeout_s: float) -> None:
        """Wait until the event is set, for `timeout_s` at most, and not beyond the deadline."""
        if not self.is_over:
            waiter.wait(min(timeout_s, max(0.0, self._deadline - time.monotonic())))

    def sleep(self, timeout_s: float) -> None:
        """Wait for `timeout_s`, but not beyond the deadline; `cancel` ends it at once."""
        with self.waiter() as waiter:
            self.wait(waiter, timeout_s)

    def run(self, fn: Callable[[], Value]) -> Value:
        """Return the result of `fn`; raise TimeoutError one second after the deadline, or when cancelled.

        `fn` runs in a daemon thread. It must end by itself; after a TimeoutError its result is discarded.
        """
        outcomes: list[tuple[Value | None, BaseException | None]] = []

        def call() -> None:
            try:
                outcomes.append((fn(), None))
            except BaseException as error:  # noqa: BLE001  # Raised again in the waiting thread.
                outcomes.append((None, error))
            done.set()

        with self.waiter() as done:
            if not self.is_cancelled:
                threading.Thread(target=call, daemon=True).start()
                done.wait(max(0.0, self._deadline + _LAST_ANSWER_S - time.monotonic()))
        if not outcomes:
            raise TimeoutError
        value, error = outcomes[0]
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # None only where Value allows it
