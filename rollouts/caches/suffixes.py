"""The names that one sample may have: its own and, where that is taken, those with `_1`, `_2` and so on.

A reader tries them in this order. It goes on behind what is not the sample, stops at the first name if that is free
(most misses are of this kind, and must cost one look), and else at the second free one: while a repair moves names up
there is one. Knows no storage.
"""

from __future__ import annotations

from collections.abc import Callable

GAPS = 1
"""Free names that a reader passes, the first name excepted."""


class Walk:
    """Tells of names, listed in the order of their suffixes, which ones a reader comes to."""

    def __init__(self) -> None:
        self._stem = ""
        self._begun = False
        self._before = 0

    def reaches(self, stem: str, suffix: int) -> bool:
        """Whether a reader comes to this name.

        Args:
            stem: The name without suffix. All names of one stem come together.
            suffix: 0 for the name itself.
        """
        if stem != self._stem:
            self._stem, self._begun, self._before = stem, suffix == 0, 0
        reached = self._begun and suffix - self._before <= GAPS
        self._before += 1
        return reached


def move_up(rename: Callable[[int, int], bool | None], first: int, last: int) -> dict[int, int]:
    """Give free names to those after them, in their order; which suffix became which.

    Args:
        rename: Gives the name with one suffix that with another. True when done, False where the other is taken, None
            where there is no such name.
        first: The lowest suffix that may be free.
        last: The highest.
    """
    moved: dict[int, int] = {}
    free, suffix, gaps = first, first + 1, 0
    while gaps <= GAPS:
        done = rename(suffix, free)
        if done is None:
            gaps += suffix > last
        else:
            free += 1
        if done:
            moved[suffix] = free - 1
        if done is not False or free == suffix:  # else the next free name for the same one
            suffix += 1
    return moved
