"""Which classes the probability bars show, and in which order, so that labels do not jump."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class StableRows:
    """Chooses `count` of the classes and keeps each in its row while the attack changes.

    The clean prediction stands first; the others follow by the larger of their two probabilities at
    the time the subject was set. Afterwards a class that grows past the least important row takes
    that row over; no other row moves.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.rows: list[int] = []
        self._peak: list[float] = []
        self._pinned: frozenset[int] = frozenset()

    def reset(
        self, before: Sequence[float], after: Sequence[float] | None = None, *, pinned: Sequence[int] = ()
    ) -> None:
        """Choose rows for a new subject.

        Args:
            before: clean probabilities, one per class.
            after: adversarial probabilities, if there are any yet.
            pinned: classes that must stay, e.g. the true label and the target.
        """
        self._peak = [max(pair) for pair in zip(before, after or before, strict=True)]
        self._pinned = frozenset(pinned)
        clean = _argmax(before)
        others = sorted((c for c in range(len(before)) if c != clean), key=lambda c: -self._peak[c])
        needed = [c for c in others if c in self._pinned]
        free = [c for c in others if c not in self._pinned]
        room = max(self.count - 1 - len(needed), 0)
        kept = set(needed[: self.count - 1]) | set(free[:room])
        self.rows = [clean, *(c for c in others if c in kept)]
        self._pinned |= {clean}

    def update(self, after: Sequence[float]) -> None:
        """Let classes that have become important in, each in the row of the least important one."""
        for index, value in enumerate(after):
            self._peak[index] = max(self._peak[index], value)
        shown = set(self.rows)
        for candidate in sorted((c for c in range(len(after)) if c not in shown), key=lambda c: -after[c]):
            current = {row: max(after[c], 0.5 * self._peak[c]) for row, c in enumerate(self.rows)}
            replaceable = [row for row, c in enumerate(self.rows) if c not in self._pinned]
            if not replaceable:
                return
            row = min(replaceable, key=lambda r: current[r])
            if after[candidate] <= current[row]:
                return
            self.rows[row] = candidate


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)
