"""What this process has taken from a shared limit and may still use. Knows no database and no threads.

The shared log counts rows. A row may stand for more than one unit (tokens), and busy processes take several at once;
what is left over may be used for `KEEP` seconds, by which the shared limit counts longer than it promises.
"""

from __future__ import annotations

KEEP = 1.0
"""Seconds for which what was taken may be used."""


class Allowance:
    """Units that were taken and not used. Whoever calls holds the lock."""

    __slots__ = ("_left", "debt")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._left: list[tuple[float, float]] = []  # good until, amount
        self.debt = 0.0
        """Units that were used and not yet taken: requests that turned out larger than estimated."""

    def missing(self, amount: float, now: float) -> float:
        """What must be taken so that `amount` can be used."""
        self._left = sorted(entry for entry in self._left if entry[0] >= now)
        return max(amount + self.debt - sum(left for _, left in self._left), 0.0)

    def add(self, amount: float, until: float) -> None:
        """Note that `amount` was taken, good until then; it pays the debt first."""
        paid = min(self.debt, amount)
        self.debt -= paid
        self.give_back(amount - paid, until)

    def use(self, amount: float) -> tuple[float, float]:
        """Use `amount`, as far as there is any, oldest first; returns how much, and until when all of it was good."""
        left = self._left
        until = left[0][0] if left else float("-inf")
        used = 0.0
        while left and used < amount:
            end, part = left.pop(0)
            if part > amount - used:
                left.insert(0, (end, part - (amount - used)))
                part = amount - used
            used += part
        return used, until

    def give_back(self, amount: float, until: float) -> None:
        """Let another use `amount`, as long as it is good."""
        if amount > 0:
            self._left.append((until, amount))

    def owe(self, amount: float, most: float) -> None:
        """Add to the debt, of which no more than `most` is remembered."""
        self.debt = min(self.debt + max(amount, 0.0), most)
