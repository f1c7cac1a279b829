"""The order in which guests are destroyed: those first that use the files of others."""

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

from mclu_shell.cloud.concurrency.changes import require_may_begin
from mclu_shell.cloud.guests.destroy_plan import DestroyPlan
from mclu_shell.cloud.guests.leaving import GuestKey, Leaving

# An interrupt ends a wait after this time.
_CHECK_S = 0.2


def find_ranks(after: Mapping[GuestKey, Collection[GuestKey]]) -> dict[GuestKey, int]:
    """Return a number for each guest, which is higher than those of the guests that come before it."""
    ranks: dict[GuestKey, int] = {}
    while left := after.keys() - ranks.keys():
        ready = {key for key in left if not left.intersection(after[key])}
        if not ready:
            raise AssertionError(f"guests wait for each other: {left}")
        rank = max(ranks.values(), default=-1) + 1
        ranks |= dict.fromkeys(ready, rank)
    return ranks


class Results:
    """The guests that have been destroyed by now, or not, with the plans that were carried out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._plans: dict[GuestKey, DestroyPlan | None] = {}

    def add(self, guest: GuestKey, plan: DestroyPlan | None) -> None:
        """Add the plan that was carried out, or None if the guest was not destroyed."""
        with self._changed:
            self._plans[guest] = plan
            self._changed.notify_all()

    @contextmanager
    def recorded(self, guests: Iterable[GuestKey]) -> Iterator[None]:
        """Add those of the guests at the end of the block that have no result by then: they were not destroyed."""
        try:
            yield
        finally:
            for guest in guests:
                if guest not in self._plans:
                    self.add(guest, None)

    def wait_for(self, guests: Collection[GuestKey]) -> None:
        """Wait for the results of guests; raise Interrupted after an interrupt, which may leave them without any."""
        with self._changed:
            while not self._plans.keys() >= set(guests):
                require_may_begin()
                self._changed.wait(_CHECK_S)

    def failed(self, guests: Iterable[GuestKey]) -> GuestKey | None:
        """Return one of the guests that was not destroyed; None if all were."""
        return next((guest for guest in sorted(guests) if self._plans[guest] is None), None)

    def leaving(self, guests: Iterable[GuestKey]) -> Leaving:
        """Return those of the guests that were destroyed, with the files that were deleted."""
        leaving = Leaving()
        for guest in guests:
            if plan := self._plans[guest]:
                leaving = leaving.add(guest, plan.keys)
        return leaving
