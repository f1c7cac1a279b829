"""A deadline shared by several threads, which can also be cancelled.

To interrupt one call that has a function to end it, use `Deadline`.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Value = TypeVar("Value")

# A call that began before the deadline gets this much longer: its result says more than "no answer".
_LAST_ANSWER_S = 1.0


class CancelScope:
    """The deadline of several threads; `cancel` ends their waits at once."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._waiters: set[threading.Event] = set()
        self._is_cancelled = False

    @property
    def is_over(self) -> bool:
        """True if the deadline has passed or the scope is cancelled."""
        return self._is_cancelled or time.monotonic() >= self._deadline

    def cancel(self) -> None:
        """End all waits in the scope."""
        self._is_cancelled = True
        for waiter in tuple(self._waiters):
            waiter.set()

    @contextmanager
    def waiter(self) -> Iterator[threading.Event]:
        """Yield an event for `wait`, which `cancel` sets."""
        waiter = threading.Event()
        self._waiters.add(waiter)
        try:
            yield waiter
        finally:
            self._waiters.discard(waiter)

    def wait(self, waiter: threading.Event, timeout_s: float) -> None:
        """Wait until the event is set, for `timeout_s` at most, and not beyond the deadline."""
        if not self.is_over:
            waiter.wait(min(timeout_s, max(0.0, self._deadline - time.monotonic())))

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
            if not self._is_cancelled:
                threading.Thread(target=call, daemon=True).start()
                done.wait(max(0.0, self._deadline + _LAST_ANSWER_S - time.monotonic()))
        if not outcomes:
            raise TimeoutError
        value, error = outcomes[0]
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # None only where Value allows it
