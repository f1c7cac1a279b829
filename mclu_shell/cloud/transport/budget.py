"""A limit for data that a node may send at any time and that no protocol limits."""

import time


class Budget:
    """An allowance: an amount at the beginning, and some more with each second."""

    def __init__(self, amount: float, per_s: float) -> None:
        self._amount = amount
        self._per_s = per_s
        self._started_at = time.monotonic()

    def spend(self, amount: float) -> bool:
        """Take an amount from the allowance; return False if it is used up."""
        self._amount -= amount
        return self._amount >= 0 or self._amount + self._per_s * (time.monotonic() - self._started_at) >= 0
